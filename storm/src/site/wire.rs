//! A wire between an instance and a service: forwards connections, and goes wrong when it is told to.
//!
//! The server does not notice that there is one. Bytes and connections are all that it knows.

use std::{future::pending, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::Result;

/// What a wire does with what comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Both ways, at once.
    Pass,
    /// Both ways, each part later by this.
    Slow(Duration),
    /// Nothing either way, and nobody is told: connections are accepted and stay open. When that is over, they are lost for
    /// ever, as with a forgotten NAT entry; or, with `spares`, every other one goes on with what was kept for it, as TCP
    /// does after an outage.
    Silent { spares: bool },
    /// Questions arrive, answers do not. When that is over, the connections are cut.
    Swallow,
    /// Connections are cut, new ones are refused.
    Away,
}

/// How much is forwarded at once.
const PART_BYTES: usize = 16 * 1024;
/// Connections of one wire at most. An instance has a pool of eight and a few more; more than this is a leak.
const CONNECTIONS_MAX: usize = 256;
/// How often a port that was given up is asked for again.
const AGAIN: Duration = Duration::from_millis(20);

/// A wire; its connections end with it.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Where the instance connects to.
    pub(crate) port: u16,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Wire {
    /// A wire from a port to another port of this machine.
    ///
    /// # Errors
    /// When the port is taken.
    pub(crate) async fn lay(port: u16, to: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let task = tokio::spawn(accept(listener, port, to, modes));
        Ok(Self { port, mode, task })
    }

    /// From now on it does this.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes connections in until the wire is gone.
async fn accept(listener: TcpListener, port: u16, to: u16, mut modes: watch::Receiver<Mode>) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    let mut count = 0_u64;
    loop {
        while connections.try_join_next().is_some() {}
        let mode = *modes.borrow_and_update();
        if mode == Mode::Away {
            // A port that nobody listens on is what refuses.
            drop(listener.take());
            if modes.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            match TcpListener::bind(("127.0.0.1", port)).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => sleep(AGAIN).await,
            }
            continue;
        };
        tokio::select! {
            accepted = open.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    count += 1;
                    // Every other one does not survive a silence.
                    connections.spawn(connection(stream, to, modes.clone(), count % 2 == 1));
                }
                Ok(_) => {}
                Err(_) => sleep(AGAIN).await,
            },
            changed = modes.changed() => if changed.is_err() { return },
        }
    }
}

/// One connection. What goes wrong with it ends it, as with any other.
async fn connection(client: TcpStream, to: u16, modes: watch::Receiver<Mode>, mortal: bool) {
    let _ended = carry(client, to, modes, mortal).await;
}

async fn carry(
    client: TcpStream,
    to: u16,
    mut modes: watch::Receiver<Mode>,
    mortal: bool,
) -> io::Result<()> {
    // What connects during a silence reaches nobody, or only when it is over.
    let mode = *modes.borrow_and_update();
    if let Mode::Silent { spares } = mode
        && (mortal || !spares)
    {
        return drain(client).await;
    }
    let loud = modes.wait_for(|mode| !matches!(mode, Mode::Silent { .. })).await.map(|mode| *mode);
    if !matches!(loud, Ok(mode) if mode != Mode::Away) {
        return Ok(());
    }
    let service = TcpStream::connect(("127.0.0.1", to)).await?;
    client.set_nodelay(true)?;
    service.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_service, to_service) = service.into_split();
    let there = Way { modes: modes.clone(), mortal, answers: false };
    let back = Way { modes, mortal, answers: true };
    tokio::select! {
        ended = there.forward(from_client, to_service) => ended,
        ended = back.forward(from_service, to_client) => ended,
    }
}

/// One direction of a connection.
struct Way {
    modes: watch::Receiver<Mode>,
    /// Any silence is the end of it.
    mortal: bool,
    /// From the service to the instance.
    answers: bool,
}

impl Way {
    async fn forward(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut part = vec![0; PART_BYTES];
        let mut swallowed = false;
        loop {
            let mode = *self.modes.borrow_and_update();
            match mode {
                Mode::Away => return Ok(()),
                _ if swallowed && mode != Mode::Swallow => return Ok(()),
                Mode::Silent { spares } if self.mortal || !spares => return self.lose(from).await,
                Mode::Silent { .. } => {
                    if self.modes.changed().await.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                Mode::Swallow => swallowed = true,
                Mode::Pass | Mode::Slow(_) => {}
            }
            let read = tokio::select! {
                biased;
                changed = self.modes.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                read = from.read(&mut part) => read?,
            };
            let bytes = part.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            if let Mode::Slow(by) = mode {
                sleep(by).await;
            }
            if !(mode == Mode::Swallow && self.answers) {
                to.write_all(bytes).await?;
            }
        }
    }

    /// Nothing arrives any more, and nobody is told. It stays so until the instance gives the connection up.
    async fn lose(&self, from: OwnedReadHalf) -> io::Result<()> {
        if self.answers {
            // The service's end stays open as long as the instance's.
            pending::<()>().await;
        }
        drain(from).await
    }
}

/// Takes everything in until the other side gives up, and does nothing with it.
async fn drain(mut from: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut part = vec![0; PART_BYTES];
    while from.read(&mut part).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// A service that says what is said to it.
    async fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).await.is_ok() {
                        if stream.write_all(&byte).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        port
    }

    async fn wire() -> Wire {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        Wire::lay(free, echo().await).await.unwrap()
    }

    async fn dial(wire: &Wire) -> TcpStream {
        TcpStream::connect(("127.0.0.1", wire.port)).await.unwrap()
    }

    /// Says a byte and hears it again.
    async fn answered(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(b"x").await?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        Ok(byte[0])
    }

    const SOON: Duration = Duration::from_secs(10);
    const A_WHILE: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn after_a_silence_one_connection_goes_on_and_the_other_is_lost_without_a_word() {
        let wire = wire().await;
        let (mut mortal, mut other) = (dial(&wire).await, dial(&wire).await);
        assert_eq!(answered(&mut mortal).await.unwrap(), b'x');
        assert_eq!(answered(&mut other).await.unwrap(), b'x');
        wire.set(Mode::Silent { spares: true });
        assert!(timeout(A_WHILE, answered(&mut other)).await.is_err(), "silent");
        let (mut unlucky, mut lucky) = (dial(&wire).await, dial(&wire).await);
        assert!(timeout(A_WHILE, answered(&mut unlucky)).await.is_err(), "silent to new ones");
        assert!(timeout(A_WHILE, answered(&mut lucky)).await.is_err(), "silent to new ones");
        wire.set(Mode::Pass);
        let mut byte = [0];
        timeout(SOON, other.read_exact(&mut byte)).await.expect("kept").unwrap();
        timeout(SOON, lucky.read_exact(&mut byte)).await.expect("kept").unwrap();
        assert!(timeout(A_WHILE, answered(&mut unlucky)).await.is_err(), "lost, and not told");
        assert!(timeout(A_WHILE, answered(&mut mortal)).await.is_err(), "lost, and not told");
    }

    #[tokio::test]
    async fn a_silence_that_spares_nobody_loses_all_connections_and_new_ones_are_well_after_it() {
        let wire = wire().await;
        let (mut one, mut other) = (dial(&wire).await, dial(&wire).await);
        assert_eq!(answered(&mut one).await.unwrap(), b'x');
        assert_eq!(answered(&mut other).await.unwrap(), b'x');
        wire.set(Mode::Silent { spares: false });
        assert!(timeout(A_WHILE, answered(&mut one)).await.is_err(), "silent");
        wire.set(Mode::Pass);
        assert!(timeout(A_WHILE, answered(&mut one)).await.is_err(), "lost, and not told");
        assert!(timeout(A_WHILE, answered(&mut other)).await.is_err(), "lost, and not told");
        let mut new = dial(&wire).await;
        assert_eq!(timeout(SOON, answered(&mut new)).await.expect("well").unwrap(), b'x');
    }

    #[tokio::test]
    async fn swallowed_answers_end_in_a_cut() {
        let wire = wire().await;
        let mut stream = dial(&wire).await;
        assert_eq!(answered(&mut stream).await.unwrap(), b'x');
        wire.set(Mode::Swallow);
        assert!(timeout(A_WHILE, answered(&mut stream)).await.is_err(), "swallowed");
        wire.set(Mode::Pass);
        assert!(timeout(SOON, answered(&mut stream)).await.expect("an end").is_err(), "cut");
    }

    #[tokio::test]
    async fn who_is_away_refuses_and_comes_back() {
        let wire = wire().await;
        let mut stream = dial(&wire).await;
        assert_eq!(answered(&mut stream).await.unwrap(), b'x');
        wire.set(Mode::Away);
        assert!(timeout(SOON, answered(&mut stream)).await.expect("an end").is_err(), "cut");
        let refused = async {
            while TcpStream::connect(("127.0.0.1", wire.port)).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, refused).await.expect("refused");
        wire.set(Mode::Slow(Duration::from_millis(1)));
        let back = async {
            loop {
                if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", wire.port)).await {
                    return answered(&mut stream).await.unwrap();
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(timeout(SOON, back).await.expect("back"), b'x');
    }
}
