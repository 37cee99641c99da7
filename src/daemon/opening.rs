//! The part of the start that takes privileges: it is done by a first image of the program, and its outcome handed to
//! the second, which holds none (see [`crate::privilege`]).
//!
//! In come settings, out go packet sockets; in the first image nothing comes out, since it does not return. Reads no
//! rules, no packet and no client.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::DaemonError;
use crate::capture::ring::PacketSocket;
use crate::config::{DEFAULT_SOCKET, Settings};
use crate::privilege::{self, Account};

/// Names the packet sockets that are open already, to the second image.
const HANDED_OVER: &str = "NSGWATCH_PACKET_SOCKETS";

/// Who may look into the socket's directory where it is made here: the owner and the group.
const DIRECTORY_MODE: u32 = 0o750;

/// Returns a packet socket for each interface that will be watched, and makes sure that no privilege is left. The first
/// image of the program does not come back from here.
pub(super) fn packet_sockets(settings: &Settings) -> Result<Vec<PacketSocket>, DaemonError> {
    let wanted = settings.interfaces.len().max(1);
    if let Some(numbers) = env::var_os(HANDED_OVER) {
        privilege::arrive()?;
        return take_over(&numbers.to_string_lossy(), wanted);
    }
    let account = privilege::account(settings.user.as_deref())?;
    let sockets =
        (0..wanted).map(|_| PacketSocket::open()).collect::<Result<Vec<PacketSocket>, _>>()?;
    let numbers = sockets.iter().map(PacketSocket::hand_over).collect::<Result<Vec<RawFd>, _>>()?;
    if let Some(account) = &account {
        make_directory(&settings.socket, account)?;
        tracing::info!(
            user = account.name,
            "started by root; goes on as another user, who must be able to read the rules and to write the records \
             (--user chooses another)"
        );
    }
    privilege::leave(account.as_ref())?;
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    Err(privilege::start_anew(HANDED_OVER, &numbers.join(",")).into())
}

fn take_over(numbers: &str, wanted: usize) -> Result<Vec<PacketSocket>, DaemonError> {
    let named = numbers.split(',').map(str::parse).collect::<Result<BTreeSet<RawFd>, _>>();
    match named {
        Ok(named) if named.len() == wanted => {
            named.into_iter().map(|number| Ok(PacketSocket::handed_over(number)?)).collect()
        }
        _ => Err(DaemonError::HandedOver { variable: HANDED_OVER, value: numbers.to_owned() }),
    }
}

/// Makes the socket's directory where only it is missing, as the other user could not in a directory of root's. The
/// agent's own directory, left by an agent of another user, is handed over, unless somebody listens there.
fn make_directory(socket: &Path, account: &Account) -> Result<(), DaemonError> {
    let Some(directory) = socket.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    let owned = match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_left = socket == Path::new(DEFAULT_SOCKET)
                && fs::symlink_metadata(directory).is_ok_and(|found| found.is_dir())
                && UnixStream::connect(socket).is_err();
            if is_left { own(directory, account) } else { Ok(()) }
        }
        made => made.and_then(|()| own(directory, account)),
    };
    owned.map_err(|source| {
        let part = "in the socket's directory, which can not be made";
        DaemonError::Start { part, source }
    })
}

fn own(directory: &Path, account: &Account) -> io::Result<()> {
    lchown(directory, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
}
