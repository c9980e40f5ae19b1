//! A folder of the storm's own, free ports, and the programs that run in it.

use std::{
    fs::{self, File, Permissions},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::Result;

/// Where ports are looked for: below those that systems hand out to outgoing connections, so that a service that restarts
/// finds its own again.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
/// How long a program may take to end after SIGKILL.
const KILLED: Duration = Duration::from_secs(10);

/// Ends everything that was started here when its standard input closes, which it does however the storm ends. $1 is the
/// folder that has a file for each process, $2 what may be mounted.
const GUARDIAN: &str = r#"trap '' INT TERM HUP
cat >/dev/null
for file in "$1"/*; do [ -f "$file" ] && kill -9 "$(cat "$file")" && rm -f "$file"; done
umount -l "$2" 2>/dev/null"#;

/// The user and group that Postgres and Redis run as, when the storm runs as root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let ids = text
            .split_once(':')
            .and_then(|(uid, gid)| Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? }));
        ids.ok_or_else(|| format!("{text} is not a user's and a group's number, as in 101:104"))
    }
}

/// The folder. It is removed at the end unless somebody wants to look at it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    owner: Option<Owner>,
    next_port: u16,
    guardian: Child,
}

impl Place {
    /// Makes a folder of this process's own under the system's temporary folder.
    ///
    /// # Errors
    /// When that cannot be done.
    pub(crate) fn make(owner: Option<Owner>) -> Result<Self> {
        let own = std::process::id();
        let folder = std::env::temp_dir().join(format!("frontrow-storm-{own}"));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        // The owner of the services has to get through, and nobody has to look around.
        fs::set_permissions(&folder, Permissions::from_mode(0o711))?;
        let processes = folder.join("processes");
        fs::create_dir(&processes)?;
        let mut guardian = Command::new("sh");
        guardian.args(["-c", GUARDIAN, "guardian"]).arg(&processes).arg(folder.join(DISK));
        guardian.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guardian = guardian.process_group(0).spawn()?;
        let span = u32::from(PORTS.end - PORTS.start);
        let next_port = PORTS.start + u16::try_from(own.wrapping_mul(31) % span)?;
        Ok(Self { folder, owner, next_port, guardian })
    }

    /// A file or folder in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A port that nobody listens on.
    ///
    /// # Errors
    /// When all are taken.
    pub(crate) fn port(&mut self) -> Result<u16> {
        for _ in PORTS {
            let port = self.next_port;
            self.next_port = if port + 1 < PORTS.end { port + 1 } else { PORTS.start };
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(port);
            }
        }
        Err(format!("no port from {} to {} is free", PORTS.start, PORTS.end).into())
    }

    /// Makes a folder that belongs to whom the services run as.
    ///
    /// # Errors
    /// When that cannot be done.
    pub(crate) fn owned_folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path)?;
        self.give(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        Ok(path)
    }

    /// Gives a file or folder to whom the services run as.
    ///
    /// # Errors
    /// When that cannot be done.
    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        match self.owner {
            Some(owner) => Ok(chown(path, Some(owner.uid), Some(owner.gid))?),
            None => Ok(()),
        }
    }

    /// A program of the services, to be run as their owner.
    pub(crate) fn service(&self, program: &Path) -> Command {
        let mut command = self.tool(program);
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        command
    }

    /// A program, without the storm's environment, which may name other servers. Ctrl-C in the terminal is not for it.
    pub(crate) fn tool(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.process_group(0);
        command
    }

    /// Starts a program that goes on running; what it writes is appended to a log of that name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        let log =
            File::options().create(true).append(true).open(self.path(&format!("{name}.log")))?;
        command.stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|error| format!("{name} does not start: {error}"))?;
        let id = child.id().ok_or("a process without an id")?;
        let note = self.folder.join("processes").join(name);
        fs::write(&note, id.to_string())?;
        let id = Pid::from_raw(i32::try_from(id)?).ok_or("a process without an id")?;
        Ok(Process { name: name.to_owned(), child, id, note })
    }

    /// Runs a program to its end, which must be a good one; what it printed.
    ///
    /// # Errors
    /// With what it said, or when it takes too long.
    pub(crate) async fn run(&self, command: &mut Command, within: Duration) -> Result<String> {
        let name = format!("{:?}", command.as_std().get_program());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::time::timeout(within, command.output())
            .await
            .map_err(|_| format!("{name} has not ended within {within:?}"))??;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(told);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{name} ended with {}:\n{told}{said}", output.status).into())
    }

    /// Lets the guardian go, and removes the folder unless it shall be kept.
    pub(crate) async fn leave(mut self, keep: bool) {
        drop(self.guardian.stdin.take());
        drop(tokio::time::timeout(KILLED, self.guardian.wait()).await);
        if !keep {
            // What cannot be removed lies in the temporary folder anyway.
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

/// Where a small disk may be mounted.
pub(crate) const DISK: &str = "disk";

/// A program that runs; killed with the storm.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    id: Pid,
    note: PathBuf,
}

impl Process {
    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.id, signal)?)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it has not by then.
    pub(crate) async fn ended(&mut self, within: Duration) -> Result<()> {
        let ended = tokio::time::timeout(within, self.child.wait()).await;
        ended.map_err(|_| format!("{} has not ended within {within:?}", self.name))??;
        // Its number may soon be another's.
        drop(fs::remove_file(&self.note));
        Ok(())
    }

    /// Kills it, and waits for that.
    ///
    /// # Errors
    /// When it does not die.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        // A process that is gone already need not be killed.
        drop(self.child.start_kill());
        self.ended(KILLED).await
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_two_numbers() {
        let owner: Owner = "101:104".parse().unwrap();
        assert_eq!((owner.uid, owner.gid), (101, 104));
        assert!("postgres".parse::<Owner>().is_err());
        assert!("101:".parse::<Owner>().is_err());
    }
}
