//! Gives up every privilege for good.
//!
//! The agent starts twice. The first image opens the packet sockets, which is all that takes a privilege, calls
//! [`leave`] and then [`start_anew`]: the same process becomes a fresh image of the same program, which is handed the
//! open sockets and holds no capability from its first instruction on. That image proves it with [`arrive`] and
//! only then reads a rule file, a packet or a client. A packet socket that is held goes on working, and can be bound
//! again to whatever interface comes, as often as one does, so none is kept in reserve; a new one can not be opened.
//!
//! Starting anew is what takes the capabilities away where the system call that would do so is forbidden, as the unit
//! forbids it with all of `@privileged`. Knows nothing of sockets, rules or settings.

use std::env;
use std::ffi::CStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use caps::CapSet;
use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid, User};

/// The user of the packages, and the one that every system has.
const PREFERRED: [&str; 2] = ["nsgwatch", "nobody"];

/// As process lists show it.
const NAME: &CStr = c"nsgwatch";

/// Why privileges are still held.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Only root can become another user.
    #[error("only root can become the user `{}`; leave --user out", .0.escape_debug())]
    NotRoot(String),
    /// There is no such user.
    #[error("there is no user `{}`; name one that there is with --user", .0.escape_debug())]
    NoSuchUser(String),
    /// The system did not let go.
    #[error("can not {operation}: {reason}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        reason: String,
    },
    /// A capability was found where none should be.
    #[error("the {set} capabilities are still there: {left} of them")]
    Left {
        /// Which set.
        set: &'static str,
        /// How many.
        left: usize,
    },
    /// The program could not be started anew.
    #[error("can not start {program} anew without privileges: {source}")]
    StartAnew {
        /// Which program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl PrivilegeError {
    /// Says whether another user must be named, and not only another try made.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::NotRoot(_) | Self::NoSuchUser(_))
    }
}

/// A user that root becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: Uid,
    /// The number of its group.
    pub gid: Gid,
}

/// Where sudo says who used it.
const SUDO_UID: &str = "SUDO_UID";

/// Returns who to become where this is root: the user that is wanted, else whoever used sudo, who has the rules at hand
/// and wants the records, else the packages' own, else nobody. `None` where this is somebody else already.
///
/// # Errors
/// There is no such user, or somebody else than root wants to become another.
pub fn account(wanted: Option<&str>) -> Result<Option<Account>, PrivilegeError> {
    match (unistd::geteuid().is_root(), wanted) {
        (false, None) => Ok(None),
        (false, Some(name)) => Err(PrivilegeError::NotRoot(name.to_owned())),
        (true, Some(name)) => match look_up(name)? {
            None => Err(PrivilegeError::NoSuchUser(name.to_owned())),
            found => Ok(found),
        },
        (true, None) => {
            if let Some(found) = who_used_sudo(env::var(SUDO_UID).ok().as_deref())? {
                return Ok(Some(found));
            }
            for name in PREFERRED {
                if let Some(found) = look_up(name)? {
                    return Ok(Some(found));
                }
            }
            Err(PrivilegeError::NoSuchUser(PREFERRED.join("` or `")))
        }
    }
}

fn look_up(name: &str) -> Result<Option<Account>, PrivilegeError> {
    Ok(User::from_name(name).map_err(refused("look up users"))?.map(Account::from))
}

/// Returns who used sudo by what it left in the environment; `None` where it was nobody, or root.
fn who_used_sudo(uid: Option<&str>) -> Result<Option<Account>, PrivilegeError> {
    let Some(uid) = uid.and_then(|uid| uid.parse().ok()).map(Uid::from_raw) else {
        return Ok(None);
    };
    let found = User::from_uid(uid).map_err(refused("look up users"))?;
    Ok(found.filter(|user| !user.uid.is_root()).map(Account::from))
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self { name: user.name, uid: user.uid, gid: user.gid }
    }
}

/// Becomes the other user, and makes sure that no program started from here on gains anything: not by its mode, not by
/// capabilities of its file, and not by being root. Must run before the first thread is started.
///
/// # Errors
/// The system refused something.
pub fn leave(account: Option<&Account>) -> Result<(), PrivilegeError> {
    nix::sys::prctl::set_no_new_privs().map_err(refused("forbid new privileges"))?;
    if let Some(Account { uid, gid, .. }) = account {
        clear(CapSet::Bounding, "empty the set of capabilities that can be gained")?;
        unistd::setgroups(&[*gid]).map_err(refused("leave root's groups"))?;
        unistd::setresgid(*gid, *gid, *gid).map_err(refused("leave root's group"))?;
        unistd::setresuid(*uid, *uid, *uid).map_err(refused("become the other user"))?;
    }
    clear(CapSet::Ambient, "drop the ambient capabilities")?;
    // Worth nothing to a program that gains nothing from its file, and gone where this is not forbidden.
    let _forbidden = caps::clear(None, CapSet::Inheritable);
    Ok(())
}

/// Becomes a fresh image of the same program, with the same arguments and this variable beside the environment's own.
/// Returns only where that failed.
#[must_use]
pub fn start_anew(variable: &str, value: &str) -> PrivilegeError {
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| env!("CARGO_PKG_NAME").into());
    // The program that runs, even where its file was replaced meanwhile or lies where the new user can not look.
    let mut command = Command::new("/proc/self/exe");
    let source = command.arg0(&name).args(arguments).env(variable, value).exec();
    PrivilegeError::StartAnew { program: name.to_string_lossy().into_owned(), source }
}

/// Makes sure, in the second image, that no privilege is left; and takes the program's own name again, in place of that
/// of the link by which it was started.
///
/// # Errors
/// There is a privilege left.
pub fn arrive() -> Result<(), PrivilegeError> {
    nix::sys::prctl::set_name(NAME).map_err(refused("take its name"))?;
    for (set, of) in [
        ("ambient", CapSet::Ambient),
        ("effective", CapSet::Effective),
        ("permitted", CapSet::Permitted),
    ] {
        let left = caps::read(None, of).map_err(|error| PrivilegeError::Refused {
            operation: "read the capabilities",
            reason: error.to_string(),
        })?;
        if !left.is_empty() {
            return Err(PrivilegeError::Left { set, left: left.len() });
        }
    }
    Ok(())
}

fn clear(set: CapSet, operation: &'static str) -> Result<(), PrivilegeError> {
    caps::clear(None, set)
        .map_err(|error| PrivilegeError::Refused { operation, reason: error.to_string() })
}

fn refused(operation: &'static str) -> impl FnOnce(Errno) -> PrivilegeError {
    move |errno| PrivilegeError::Refused { operation, reason: errno.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_used_sudo_is_found_by_number_and_is_never_root() {
        let named = |uid| who_used_sudo(uid).unwrap().map(|account| account.name);
        let uid = User::from_name("nobody").unwrap().unwrap().uid.to_string();
        assert_eq!(named(Some(&uid)).as_deref(), Some("nobody"));
        assert_eq!(
            [None, Some("0"), Some(""), Some("-1"), Some("x")].map(named),
            [const { None }; 5]
        );
    }

    #[test]
    fn root_becomes_whom_it_is_told_and_nobody_else_becomes_anybody() {
        if unistd::geteuid().is_root() {
            let nobody = account(Some("nobody")).unwrap().unwrap();
            assert!(nobody.name == "nobody" && !nobody.uid.is_root());
            assert!(!account(None).unwrap().unwrap().uid.is_root());
            let error = account(Some("no such user")).unwrap_err();
            assert!(error.to_string().contains("`no such user`"), "{error}");
        } else {
            assert_eq!(account(None).unwrap(), None);
            assert!(matches!(account(Some("nobody")), Err(PrivilegeError::NotRoot(_))));
        }
    }
}
