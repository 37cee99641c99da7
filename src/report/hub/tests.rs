//! What readers get, what they lose, and that nobody waits for them.

use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::engine::EndReason;
use crate::report::tests::events;

const SOON: Duration = Duration::ZERO;

fn remember(hub: &Hub, count: usize) {
    hub.remember(&"eth0".into(), &mut events(count));
}

fn read(reader: &mut HubReader) -> (u64, usize, bool) {
    let mut found = Vec::new();
    let Read { lost, finished } = reader.read(&mut found, SOON);
    (lost, found.len(), finished)
}

#[test]
fn a_reader_gets_what_comes_after_it_and_the_past_only_when_it_asks() {
    let hub = Hub::new(100, 1);
    remember(&hub, 10);
    let mut reader = hub.reader().unwrap();
    assert_eq!(read(&mut reader), (0, 0, false));
    remember(&hub, 3);
    assert_eq!(read(&mut reader), (0, 3, false));
    assert_eq!(reader.past(5, |_| true).len(), 5);
    assert_eq!(reader.past(usize::MAX, |_| true).len(), 13);
    assert_eq!(reader.past(5, |_| false).len(), 0);
}

#[test]
fn the_past_is_the_newest_of_what_is_wanted_in_its_order() {
    let hub = Hub::new(100, 1);
    let mut all = events(9);
    for (number, event) in all.iter_mut().enumerate() {
        event.flow.first.unix_ns = number as u64;
        event.end = (number % 3 == 0).then_some(EndReason::Idle);
    }
    hub.remember(&"eth0".into(), &mut all.clone());
    let wanted = |event: &Event| event.end.is_none();
    let found = hub.reader().unwrap().past(2, wanted);
    let expected: Vec<Event> = all.into_iter().filter(wanted).collect();
    let found: Vec<Event> = found.into_iter().map(|observed| observed.event).collect();
    assert_eq!(found, expected[expected.len() - 2..]);
}

#[test]
fn a_reader_that_falls_behind_is_told_how_many_it_lost() {
    let hub = Hub::new(8, 2);
    let (mut slow, mut quick) = (hub.reader().unwrap(), hub.reader().unwrap());
    for _ in 0..5 {
        remember(&hub, 4);
        assert_eq!(read(&mut quick), (0, 4, false));
    }
    assert_eq!(read(&mut slow), (12, 8, false));
    assert_eq!(read(&mut slow), (0, 0, false));
    assert_eq!(hub.counters().lost, 12);
}

#[test]
fn readers_beyond_the_limit_are_turned_away_until_one_leaves() {
    let hub = Hub::new(8, 1);
    let first = hub.reader().unwrap();
    assert!(hub.reader().is_none());
    assert_eq!((hub.counters().readers, hub.counters().refused), (1, 1));
    drop(first);
    assert!(hub.reader().is_some());
    assert_eq!(hub.counters().readers, 0);
}

#[test]
fn a_reader_reads_to_the_end_and_then_hears_that_it_is_the_end() {
    let hub = Hub::new(4096, 1);
    let mut reader = hub.reader().unwrap();
    remember(&hub, READ_AT_ONCE + 1);
    hub.close();
    assert_eq!(read(&mut reader), (0, READ_AT_ONCE, false));
    assert_eq!(read(&mut reader), (0, 1, true));
}

#[test]
fn a_waiting_reader_is_woken_by_news_and_by_the_end() {
    let hub = Hub::new(8, 1);
    let mut reader = hub.reader().unwrap();
    let waiting = std::thread::spawn(move || {
        let started = Instant::now();
        let mut found = Vec::new();
        while !reader.read(&mut found, Duration::from_secs(20)).finished {}
        (found.len(), started.elapsed())
    });
    remember(&hub, 1);
    hub.close();
    let (found, took) = waiting.join().unwrap();
    assert_eq!(found, 1);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

proptest! {
    #[test]
    fn every_event_is_either_read_in_its_place_or_told_lost(
        steps in proptest::collection::vec((0usize..700, any::<bool>(), any::<bool>()), 1..20),
        limit in 1usize..1500,
    ) {
        let hub = Hub::new(limit, 2);
        let mut reader = hub.reader().unwrap();
        let (mut sent, mut next) = (0, 0);
        // The vector that comes back is filled again, as the writer's is.
        let mut batch = Vec::new();
        for (count, is_first_interface, reads) in steps {
            let interface = if is_first_interface { "eth0" } else { "eth1" };
            for mut event in events(count) {
                event.flow.first.unix_ns = sent;
                event.flow.midstream = is_first_interface;
                batch.push(event);
                sent += 1;
            }
            hub.remember(&interface.into(), &mut batch);
            prop_assert!(batch.is_empty());
            while reads && next < sent {
                let mut found = Vec::new();
                next += reader.read(&mut found, SOON).lost;
                prop_assert!(next + found.len() as u64 >= sent.saturating_sub(limit as u64));
                for Observed { event, interface } in found {
                    prop_assert_eq!(event.flow.first.unix_ns, next);
                    prop_assert_eq!(event.flow.midstream, &*interface == "eth0");
                    next += 1;
                }
            }
            let past = hub.reader().unwrap().past(7, |_| true);
            let numbers: Vec<u64> = past.iter().map(|it| it.event.flow.first.unix_ns).collect();
            let newest = sent.saturating_sub(7.min(limit as u64))..sent;
            prop_assert_eq!(numbers, newest.collect::<Vec<_>>());
            let memory = hub.shared.memory();
            let kept: usize = memory.chunks.iter().map(|chunk| chunk.events.len()).sum();
            let places: usize = memory.chunks.iter().map(|chunk| chunk.events.capacity()).sum();
            prop_assert_eq!(kept, memory.length);
            prop_assert!(kept < limit + 700 && places <= 2 * (limit + 700));
        }
    }
}
