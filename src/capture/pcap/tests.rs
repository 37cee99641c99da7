use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

/// What a frame looks like once it has outlived its block.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Frame {
        bytes: Vec<u8>,
        link: LinkType,
        direction: Option<Direction>,
        unix_ns: u64,
        wire_length: u32,
    },
    Unusable(Unusable),
}

fn read(file: Vec<u8>) -> Result<(Vec<Seen>, FileReport), PcapError> {
    let window = Window::over(Box::new(Cursor::new(file))).map_err(|source| PcapError::Io {
        operation: "read",
        path: "test".into(),
        source,
    })?;
    let mut file = CaptureFile::over(window, Path::new("test.pcap"))?;
    let mut seen = Vec::new();
    while let Some(frames) = file.next_block() {
        seen.extend(frames.map(|record| match record {
            Ok(Frame { bytes, link, direction, unix_ns, wire_length }) => {
                Seen::Frame { bytes: bytes.to_vec(), link, direction, unix_ns, wire_length }
            }
            Err(unusable) => Seen::Unusable(unusable),
        }));
    }
    let report = file.report();
    let cut = u64::from(matches!(report.end, FileEnd::Cut { .. }));
    assert_eq!(report.records, seen.len() as u64 + cut);
    let unknown = seen.iter().filter(|it| **it == Seen::Unusable(Unusable::UnknownLink)).count();
    assert_eq!(report.unreadable, unknown as u64 + cut);
    Ok((seen, report))
}

/// Writes numbers in one byte order.
#[derive(Debug, Clone, Copy)]
struct Put(ByteOrder);

const ORDERS: [Put; 2] = [Put(ByteOrder::Little), Put(ByteOrder::Big)];

impl Put {
    fn u32(self, value: u32) -> [u8; 4] {
        match self.0 {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        }
    }

    fn u16(self, value: u16) -> [u8; 2] {
        match self.0 {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        }
    }

    fn words(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| self.u32(*value)).collect()
    }

    fn classic(self, magic: u32, link: u32) -> Vec<u8> {
        let version = [self.u16(2), self.u16(4)].concat();
        [self.u32(magic).to_vec(), version, self.words(&[0, 0, 65_535, link])].concat()
    }

    fn record(self, seconds: u32, fraction: u32, frame: &[u8], original: u32) -> Vec<u8> {
        let captured = u32::try_from(frame.len()).unwrap();
        [self.words(&[seconds, fraction, captured, original]), frame.to_vec()].concat()
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = u32::try_from(padded + 12).unwrap();
        let padding = vec![0; padded - body.len()];
        [&self.words(&[kind, length]), body, &padding, &self.u32(length)].concat()
    }

    fn section(self) -> Vec<u8> {
        let version = [self.u16(1), self.u16(0)].concat();
        self.block(0x0a0d_0d0a, &[self.words(&[0x1a2b_3c4d]), version, vec![0xff; 8]].concat())
    }

    fn interface(self, link: u16, snap_length: u32, options: &[u8]) -> Vec<u8> {
        let fixed = [self.u16(link), self.u16(0)].concat();
        self.block(1, &[fixed, self.words(&[snap_length]), options.to_vec()].concat())
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let length = self.u16(u16::try_from(value.len()).unwrap());
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [&self.u16(code), &length, value, &padding].concat()
    }

    fn enhanced(self, interface: u32, ticks: u64, frame: &[u8], options: &[u8]) -> Vec<u8> {
        let captured = u32::try_from(frame.len()).unwrap();
        let (high, low) =
            (u32::try_from(ticks >> 32).unwrap(), u32::try_from(ticks & 0xffff_ffff).unwrap());
        let fixed = self.words(&[interface, high, low, captured, captured + 10]);
        let padding = vec![0; frame.len().next_multiple_of(4) - frame.len()];
        self.block(6, &[&fixed, frame, &padding, options].concat())
    }
}

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const NOON: u32 = 1_700_000_000;
const NOON_NS: u64 = 1_700_000_000_000_000_000;
const V4: [u8; 3] = [0x45, 1, 2];
const V6: [u8; 3] = [0x60, 1, 2];

fn seen(bytes: &[u8], link: LinkType, unix_ns: u64, wire_length: u32) -> Seen {
    Seen::Frame { bytes: bytes.to_vec(), link, direction: None, unix_ns, wire_length }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn pcap_files_of_either_byte_order_and_resolution_are_read_packed_or_not() {
    for put in ORDERS {
        for (magic, fraction_ns) in [(MICROSECONDS, 5000), (NANOSECONDS, 5)] {
            let file = [
                put.classic(magic, 1),
                put.record(NOON, 5, b"one", 60),
                put.record(NOON + 1, 0, b"", 0),
            ]
            .concat();
            let expected = [
                seen(b"one", LinkType::Ethernet, NOON_NS + fraction_ns, 60),
                seen(b"", LinkType::Ethernet, NOON_NS + 1_000_000_000, 0),
            ];
            let halves = file.split_at(31);
            for file in [file.clone(), gzip(&file), [gzip(halves.0), gzip(halves.1)].concat()] {
                let (frames, report) = read(file).unwrap();
                assert_eq!(frames, expected, "{put:?} {magic:#x}");
                assert_eq!(report.end, FileEnd::Whole);
            }
        }
    }
}

/// The link type's number, the bytes of a frame of 100 bytes, and what becomes of it.
#[test]
fn every_link_type_is_opened_to_its_packet() {
    let ip = |bytes: &[u8], wire_length| Ok((bytes.to_vec(), LinkType::Ip, None, wire_length));
    let told = |bytes: &[u8], direction, wire_length| {
        Ok((bytes.to_vec(), LinkType::Ip, Some(direction), wire_length))
    };
    let sll = |packet_type: u8, hardware: u8, rest: &[u8]| {
        [&[0, packet_type, 0, hardware, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], rest].concat()
    };
    let sll2 = |packet_type: u8, ether_type: [u8; 2], rest: &[u8]| {
        let middle = [0, 0, 0, 0, 0, 2, 0, 1, packet_type, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        [ether_type.as_slice(), &middle, rest].concat()
    };
    let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
    let cases = [
        (1, V4.to_vec(), Ok((V4.to_vec(), LinkType::Ethernet, None, 100))),
        (101, V4.to_vec(), ip(&V4, 100)),
        (101, vec![], ip(&[], 100)),
        (12, V6.to_vec(), ip(&V6, 100)),
        (14, V4.to_vec(), ip(&V4, 100)),
        (228, V4.to_vec(), ip(&V4, 100)),
        (228, V6.to_vec(), Err(Skip::Malformed)),
        (229, V6.to_vec(), ip(&V6, 100)),
        (229, vec![], Err(Skip::Truncated)),
        (0, [&[2, 0, 0, 0], V4.as_slice()].concat(), ip(&V4, 96)),
        (0, [&[0, 0, 0, 30], V6.as_slice()].concat(), ip(&V6, 96)),
        (0, [&[24, 0, 0, 0], V6.as_slice()].concat(), ip(&V6, 96)),
        (108, [&[0, 0, 0, 2], V4.as_slice()].concat(), ip(&V4, 96)),
        (108, vec![0, 0, 0, 7, 0x45], Err(Skip::NotIp)),
        (108, vec![0, 0, 2], Err(Skip::Truncated)),
        (113, sll(0, 1, &[8, 0, 0x45]), told(&[0x45], inbound, 98)),
        (113, sll(4, 1, &[8, 0, 0x45]), told(&[0x45], outbound, 98)),
        (113, sll(1, 1, &[0x86, 0xdd, 0x60]), told(&[0x60], inbound, 98)),
        (113, sll(0, 254, &[8, 0, 0x45]), told(&[0x45], inbound, 84)),
        (113, sll(0, 1, &[8, 6, 0]), Err(Skip::Arp)),
        (113, sll(0, 1, &[0x88, 0xcc, 0]), Err(Skip::NotIp)),
        (113, sll(0, 1, &[8]), Err(Skip::Truncated)),
        (113, sll(0, 1, &[0x81, 0, 0, 9, 8, 0, 0x45]), told(&[0x45], inbound, 98)),
        (
            113,
            sll(4, 1, &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 8, 8, 0, 0x45]),
            told(&[0x45], outbound, 98),
        ),
        (113, sll(0, 1, &[0x81, 0, 0, 9, 8]), Err(Skip::Truncated)),
        (276, sll2(4, [8, 0], &V4), told(&V4, outbound, 94)),
        (276, sll2(0, [0x86, 0xdd], &V6), told(&V6, inbound, 94)),
        (276, sll2(0, [0x86, 0xdd], &V4), Err(Skip::Malformed)),
        (276, vec![8, 0], Err(Skip::Truncated)),
    ];
    let put = Put(ByteOrder::Little);
    for (number, frame, expected) in cases {
        let file = [put.classic(MICROSECONDS, number), put.record(NOON, 0, &frame, 100)].concat();
        let expected = match expected {
            Ok((bytes, link, direction, wire_length)) => {
                Seen::Frame { bytes, link, direction, unix_ns: NOON_NS, wire_length }
            }
            Err(skip) => Seen::Unusable(Unusable::Skip(skip)),
        };
        assert_eq!(read(file).unwrap().0, [expected], "link type {number}, {frame:x?}");
    }
}

#[test]
fn pcapng_blocks_of_every_kind_and_order_are_read() {
    for put in ORDERS {
        let old = {
            let fixed = [put.u16(0), put.u16(7)].concat();
            let rest = put.words(&[0, 9, 3, 60]);
            put.block(2, &[fixed, rest, b"old".to_vec()].concat())
        };
        let file = [
            put.section(),
            put.interface(1, 4, &[]),
            put.block(0x0bad, &[7; 40]),
            put.enhanced(0, 3_000_001, b"enhanced", &[]),
            put.block(3, &[put.words(&[60]), b"simple".to_vec()].concat()),
            old,
        ]
        .concat();
        let expected = [
            seen(b"enhanced", LinkType::Ethernet, 3_000_001_000, 18),
            seen(b"simp", LinkType::Ethernet, 3_000_001_000, 60),
            seen(b"old", LinkType::Ethernet, 9000, 60),
        ];
        assert_eq!(read(file.clone()).unwrap().0, expected, "{put:?}");
        assert_eq!(read(gzip(&file)).unwrap().0, expected, "{put:?}");
    }
}

#[test]
fn each_section_has_its_own_order_and_interfaces() {
    let [little, big] = ORDERS;
    let file = [
        little.section(),
        little.interface(105, 0, &[]),
        little.interface(101, 0, &[]),
        little.enhanced(0, 1, &V4, &[]),
        little.enhanced(1, 2, &V4, &[]),
        little.enhanced(2, 3, &V4, &[]),
        big.section(),
        big.interface(229, 0, &[]),
        big.enhanced(0, 4, &V6, &[]),
    ]
    .concat();
    let unknown = Seen::Unusable(Unusable::UnknownLink);
    let expected = [
        unknown.clone(),
        seen(&V4, LinkType::Ip, 2000, 13),
        unknown,
        seen(&V6, LinkType::Ip, 4000, 13),
    ];
    assert_eq!(read(file).unwrap().0, expected);
}

#[test]
fn pcapng_time_has_the_unit_and_the_offset_of_its_interface() {
    for put in ORDERS {
        let offset = |seconds: i64| match put.0 {
            ByteOrder::Little => put.option(14, &seconds.to_le_bytes()),
            ByteOrder::Big => put.option(14, &seconds.to_be_bytes()),
        };
        for (options, ticks, unix_ns) in [
            (vec![], 7, 7000),
            (put.option(9, &[0]), 7, 7_000_000_000),
            (put.option(9, &[9]), u64::MAX, u64::MAX),
            (put.option(9, &[0]), u64::MAX, u64::MAX),
            (put.option(9, &[12]), 7_000, 7),
            (put.option(9, &[28]), u64::MAX, 1),
            (put.option(9, &[0x8a]), 1536, 1_500_000_000),
            (put.option(9, &[0xbf]), 1 << 62, 500_000_000),
            (put.option(9, &[0x80]), u64::MAX, u64::MAX),
            ([put.option(2, b"eth0"), put.option(9, &[9]), offset(2)].concat(), 5, 2_000_000_005),
            (offset(-1), 2_000_000, 1_000_000_000),
            (offset(i64::MIN), 2_000_000, 0),
        ] {
            let file =
                [put.section(), put.interface(1, 0, &options), put.enhanced(0, ticks, b"x", &[])]
                    .concat();
            let (frames, _) = read(file).unwrap();
            assert_eq!(frames, [seen(b"x", LinkType::Ethernet, unix_ns, 11)], "{options:x?}");
        }
    }
}

#[test]
fn packet_flags_tell_the_direction() {
    for put in ORDERS {
        let comment = put.option(1, b"hello");
        for (options, direction) in [
            (put.option(2, &put.u32(0xfff1)), Some(Direction::Inbound)),
            ([comment.clone(), put.option(2, &put.u32(2))].concat(), Some(Direction::Outbound)),
            ([put.option(0, &[]), put.option(2, &put.u32(2))].concat(), None),
            (put.option(2, &put.u32(0)), None),
            (put.option(2, &[1]), None),
            (comment, None),
            (vec![0, 2, 0xff, 0xff], None),
        ] {
            let file =
                [put.section(), put.interface(1, 0, &[]), put.enhanced(0, 1, b"12345", &options)];
            let (frames, _) = read(file.concat()).unwrap();
            let Seen::Frame { direction: told, .. } = frames[0] else { panic!("{frames:?}") };
            assert_eq!(told, direction, "{options:x?}");
        }
    }
}

#[test]
fn a_file_larger_than_the_window_is_read_to_its_end() {
    let put = Put(ByteOrder::Little);
    let mut classic = put.classic(NANOSECONDS, 1);
    let mut blocks = [put.section(), put.interface(1, 0, &[])].concat();
    let frame = |number: u32| vec![7; (number as usize * 997) % 9000];
    for number in 0..1000 {
        let bytes = frame(number);
        classic.extend(put.record(NOON, number, &bytes, 9000));
        blocks.extend(put.enhanced(0, number.into(), &bytes, &[]));
        if number == 500 {
            // A block that is larger than the window is passed over.
            blocks.extend(put.block(0x0bad, &vec![1; 3_000_000]));
        }
    }
    let largest = vec![9; LARGEST_FRAME as usize];
    classic.extend(put.record(NOON, 1000, &largest, LARGEST_FRAME));
    blocks.extend(put.enhanced(0, 1000, &largest, &[]));
    for file in [classic, blocks] {
        let (frames, report) = read(file).unwrap();
        assert_eq!((frames.len(), report.end), (1001, FileEnd::Whole));
        for (number, seen) in (0..1000).zip(&frames) {
            let Seen::Frame { bytes, .. } = seen else { panic!("{seen:?}") };
            assert_eq!(*bytes, frame(number));
        }
    }
}

#[test]
fn a_file_that_is_cut_gives_what_is_before_and_says_where() {
    for put in ORDERS {
        let classic = put.classic(MICROSECONDS, 1);
        let record = put.record(NOON, 0, b"whole", 60);
        let blocks = [put.section(), put.interface(1, 0, &[])].concat();
        let block = put.enhanced(0, 0, b"whole", &[]);
        for (header, record) in [(classic, record), (blocks, block)] {
            let offset = (header.len() + record.len()) as u64;
            for length in 1..record.len() {
                let file = [&header, &record, &record[..length]].concat();
                for file in [file.clone(), gzip(&file)] {
                    let (frames, report) = read(file).unwrap();
                    assert_eq!(frames.len(), 1, "{length} bytes");
                    let end = FileEnd::Cut { offset };
                    assert_eq!(report, FileReport { records: 2, unreadable: 1, end });
                }
            }
        }
    }
}

#[test]
fn a_gzip_file_that_is_cut_or_damaged_gives_what_is_before() {
    let put = Put(ByteOrder::Little);
    let mut file = put.classic(MICROSECONDS, 1);
    for number in 0_u32..5000 {
        let noise = number.wrapping_mul(2_654_435_761).to_le_bytes();
        file.extend(put.record(NOON, number, &noise, 60));
    }
    let packed = gzip(&file);
    let (frames, report) = read(packed[..packed.len() / 2].to_vec()).unwrap();
    assert!(frames.len() > 100 && frames.len() < 5000, "{}", frames.len());
    assert!(!matches!(report.end, FileEnd::Damaged { .. }), "{report:?}");
    let mut damaged = packed;
    let end = damaged.len();
    damaged[end - 8] ^= 1; // the check sum
    let (_, report) = read(damaged).unwrap();
    assert!(matches!(report.end, FileEnd::Damaged { .. }), "{report:?}");
}

#[test]
fn damage_ends_the_file_with_place_and_reason() {
    let put = Put(ByteOrder::Little);
    let classic = [put.classic(MICROSECONDS, 1), put.record(NOON, 0, b"ok", 60)].concat();
    let blocks = [put.section(), put.interface(1, 0, &[]), put.enhanced(0, 0, b"ok", &[])].concat();
    let mut other_end = put.enhanced(0, 0, b"x", &[]);
    *other_end.last_mut().unwrap() = 1;
    let body = put.words(&[0, 0, 0, 500, 500]);
    let cases = [
        (&classic, put.words(&[NOON, 0, u32::MAX, 60]), "a record of 4294967295 bytes"),
        (&classic, put.words(&[NOON, 0, LARGEST_FRAME + 1, 60]), "a record of 262145 bytes"),
        (&blocks, put.words(&[6, 0, 0]), "a block of 0 bytes"),
        (&blocks, put.words(&[6, 33, 0]), "a block of 33 bytes"),
        (&blocks, put.words(&[6, 0xffff_fff0, 0]), "a block of 4294967280 bytes"),
        (&blocks, other_end, "whose end says otherwise"),
        (&blocks, put.block(6, &body), "a frame that is larger than its block"),
        (&blocks, put.block(6, &[]), "a frame that is larger than its block"),
        (&blocks, put.block(1, &[]), "an interface block that is too short"),
        (&blocks, put.interface(1, 0, &put.option(9, &[127])), "the time resolution 0x7f"),
        (&blocks, put.block(0x0a0d_0d0a, &[0; 16]), "a section without a byte order"),
    ];
    for (before, damage, expected) in cases {
        let (frames, report) = read([before.as_slice(), &damage].concat()).unwrap();
        assert_eq!(frames.len(), 1, "{expected}");
        let FileEnd::Damaged { offset, reason } = report.end else { panic!("{report:?}") };
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(offset, before.len() as u64, "{expected}");
    }
}

#[test]
fn what_is_no_capture_file_is_refused_with_what_it_is() {
    let put = Put(ByteOrder::Big);
    for (file, expected) in [
        (vec![], "test.pcap: the file is empty"),
        (b"hello world, this is text".to_vec(), "it begins with 68 65 6c 6c"),
        (b"x".to_vec(), "it begins with 78"),
        (put.classic(MICROSECONDS, 105), "test.pcap: link type 105 is not understood"),
        ([&[0x1f, 0x8b, 9], [9; 30].as_slice()].concat(), "can not read test.pcap"),
    ] {
        let error = read(file).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn frames_that_were_not_taken_come_again() {
    let put = Put(ByteOrder::Little);
    let file = [
        put.classic(MICROSECONDS, 1),
        put.record(NOON, 0, b"one", 3),
        put.record(NOON, 0, b"two", 3),
    ]
    .concat();
    let window = Window::over(Box::new(Cursor::new(file))).unwrap();
    let mut file = CaptureFile::over(window, Path::new("x")).unwrap();
    let mut first =
        || file.next_block().and_then(|mut frames| frames.next()?.ok().map(|it| it.bytes.to_vec()));
    assert_eq!([first(), first(), first()], [Some(b"one".to_vec()), Some(b"two".to_vec()), None]);
}

fn sample(is_pcapng: bool, put: Put) -> Vec<u8> {
    let frames = [[0x45; 40].as_slice(), &[2, 0, 0, 0, 0x45], &[0; 70]];
    if is_pcapng {
        let flags = put.option(2, &put.u32(1));
        let interfaces = [put.interface(276, 0, &put.option(9, &[6])), put.interface(0, 99, &[])];
        let packets = frames.map(|frame| put.enhanced(1, 5, frame, &flags));
        [put.section(), interfaces.concat(), packets.concat(), put.block(3, &[0, 0, 0, 9, 9, 9])]
            .concat()
    } else {
        let records = frames.map(|frame| put.record(NOON, 5, frame, 60));
        [put.classic(MICROSECONDS, 113), records.concat()].concat()
    }
}

proptest! {
    /// Any answer will do; `read` holds the counters to their balance.
    #[test]
    fn mutated_files_never_panic_and_always_end(
        is_pcapng: bool,
        order in 0_usize..2,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        packed: bool,
        keep in 0.0..1.2_f64,
    ) {
        let mut file = sample(is_pcapng, ORDERS[order]);
        if packed {
            file = gzip(&file);
        }
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a small file")]
        file.truncate((file.len() as f64 * keep) as usize);
        let _any_answer_will_do = read(file);
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        is_pcapng: bool,
    ) {
        let put = Put(ByteOrder::Little);
        let header = if is_pcapng {
            [put.section(), put.interface(113, 0, &[])].concat()
        } else {
            put.classic(NANOSECONDS, 276)
        };
        let _any_answer_will_do = read([header, bytes].concat());
    }
}
