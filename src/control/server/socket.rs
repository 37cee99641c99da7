//! The socket's place in the file system: made, guarded and removed again.
//!
//! In comes a path, out comes a listener that only its owner and group may connect to. Nothing of a stranger's is
//! ever removed or replaced; nobody is answered here.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, socket};
use nix::sys::stat::{Mode, fchmod};

/// Who may connect: the owner and the group.
const MODE: u32 = 0o660;
/// Clients that may wait to be accepted.
const WAITING_CLIENTS: i32 = 128;

/// Why the socket can not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Something that is not a socket stands at the path.
    #[error("{} exists and is not a socket; it is left alone: remove it or choose another --socket", .0.display())]
    NotASocket(PathBuf),
    /// Another program answers on the socket.
    #[error("another program is listening on {}; stop it or choose another --socket", .0.display())]
    InUse(PathBuf),
    /// An operation on the path failed.
    #[error("can not {operation} {}: {source}{}", .path.display(), hint(.source))]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What the service manager has opened is not one Unix socket.
    #[error("the service manager must hand over one Unix stream socket that listens: {0}")]
    Activation(String),
    /// Others than this machine's users could connect.
    #[error(
        "{0} is not a loopback address: the listener has no encryption and is for this machine alone; \
         listen on 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    /// The address can not be listened on.
    #[error("can not listen on {address}: {source}; choose another address or port with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The token file is not what it should be.
    #[error("the token file {} {reason}", .path.display())]
    Token {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; run as root or choose a path of your own with --socket"
        }
        io::ErrorKind::NotFound => "; create the directory or choose another --socket",
        _ => "",
    }
}

/// A bound socket; a path that was made here is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    pub(super) path: PathBuf,
    /// That of the path; `None` where the path is somebody else's business.
    inode: Option<u64>,
}

impl Socket {
    /// Binds as [`super::Server::bind`] says.
    pub(super) fn bind(path: &Path) -> Result<Self, ServerError> {
        let io = |operation, source| ServerError::Io { operation, path: path.to_owned(), source };
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            match fs::create_dir(parent) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(ServerError::Io {
                        operation: "create the directory",
                        path: parent.to_owned(),
                        source: error,
                    });
                }
                _ => {}
            }
        }
        remove_stale(path)?;
        let listener = listen(path).map_err(|errno| io("bind the socket", errno.into()))?;
        // The umask may have taken bits away; this only gives them back.
        fs::set_permissions(path, Permissions::from_mode(MODE))
            .map_err(|error| io("open to its group", error))?;
        let inode = fs::symlink_metadata(path).map_err(|error| io("look at", error))?.ino();
        Ok(Self { listener, path: path.to_owned(), inode: Some(inode) })
    }

    /// Takes the one that the service manager has opened, as [`super::Server::activated`] says.
    pub(super) fn activated() -> Result<Option<Self>, ServerError> {
        let mut given = ListenFd::from_env();
        match given.len() {
            0 => return Ok(None),
            1 => {}
            many => return Err(ServerError::Activation(format!("there are {many}"))),
        }
        let wrong = |error: io::Error| ServerError::Activation(error.to_string());
        let Some(listener) = given.take_unix_listener(0).map_err(wrong)? else { return Ok(None) };
        listener.set_nonblocking(true).map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        let path = address.as_pathname().unwrap_or(Path::new("")).to_owned();
        Ok(Some(Self { listener, path, inode: None }))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Only our own socket: a newer daemon may have put its own at the path.
        let ours = self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| Some(metadata.ino()) == ours) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// Listens on a socket that never was open to more than [`MODE`] says: the kernel takes the mode of the path from
/// the socket, and setting the umask instead would reach into other threads.
fn listen(path: &Path) -> Result<UnixListener, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    fchmod(&listener, Mode::from_bits_truncate(MODE))?;
    bind(listener.as_raw_fd(), &UnixAddr::new(path)?)?;
    socket::listen(&listener, Backlog::new(WAITING_CLIENTS)?)?;
    Ok(listener.into())
}

fn remove_stale(path: &Path) -> Result<(), ServerError> {
    let io = |operation, source| ServerError::Io { operation, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("look at", error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(ServerError::NotASocket(path.to_owned()))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(ServerError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(|error| io("remove the old socket", error))
            }
            // Neither answered nor refused: a socket of another kind, a stranger's, or one too busy to answer.
            Err(error) => Err(io("find out who listens on", error)),
        },
    }
}
