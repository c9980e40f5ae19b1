//! A relay between a server and what it stands on, which reads what it carries and stands still at a moment of the test's choice. That
//! is how a server is killed between two of its steps: from outside, and the server has no code for it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{oneshot, watch},
    task::JoinHandle,
};

/// A moment between two steps of a server, by what it asks of others.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// Words of a statement, or of a request's first line.
    words: &'static str,
    /// What the question is about: bytes that are in it.
    about: Vec<u8>,
    /// On the same connection this is asked then, and that is the moment.
    then: Option<&'static str>,
    /// So many such questions pass before.
    passing: usize,
    /// The moment is when it is done, and the server has not heard so. Else it is when it is asked, and has not arrived.
    done: bool,
    /// Words of the answer, where not every answer will do.
    answer: &'static str,
}

impl Moment {
    /// It is asked, and does not arrive.
    pub(crate) const fn before(words: &'static str) -> Self {
        Self { words, about: Vec::new(), then: None, passing: 0, done: false, answer: "" }
    }

    /// It is done, and the answer does not arrive.
    pub(crate) fn done(words: &'static str) -> Self {
        Self { done: true, ..Self::before(words) }
    }

    /// What is about this.
    pub(crate) fn about(self, about: impl Into<Vec<u8>>) -> Self {
        Self { about: about.into(), ..self }
    }

    /// Not this, but what is asked on the same connection afterwards.
    pub(crate) fn then(self, words: &'static str) -> Self {
        Self { then: Some(words), ..self }
    }

    /// The second time that it is asked.
    pub(crate) fn second(self) -> Self {
        Self { passing: 1, ..self }
    }

    /// The answer says this.
    pub(crate) fn saying(self, answer: &'static str) -> Self {
        Self { answer, ..self }
    }
}

/// What several relays look out for. The first that meets it stands still, and says which server's it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookout(Arc<Mutex<Option<Watched>>>);

#[derive(Debug)]
struct Watched {
    moment: Moment,
    met: oneshot::Sender<usize>,
}

/// What becomes of a question.
#[derive(Debug, PartialEq, Eq)]
enum Pass {
    On,
    /// On, and this connection is asked the moment's own question next.
    Follow,
    /// On, and its answer is waited for.
    Wait,
    Stop,
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

impl Lookout {
    /// Looks out for a moment; which server has met it.
    pub(crate) fn look_out_for(&self, moment: Moment) -> oneshot::Receiver<usize> {
        let (met, meets) = oneshot::channel();
        *self.lock() = Some(Watched { moment, met });
        meets
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self, server: usize, follows: bool, question: &Question) -> Pass {
        let mut watched = self.lock();
        let Some(Watched { moment, .. }) = watched.as_mut() else { return Pass::On };
        let Some(words) = &question.words else {
            return if follows { Pass::Follow } else { Pass::On };
        };
        if follows {
            if moment.then.is_some_and(|then| !words.contains(then)) {
                return Pass::Follow;
            }
        } else {
            if !words.contains(moment.words) || !contains(&question.bytes, &moment.about) {
                return Pass::On;
            }
            if moment.passing > 0 {
                moment.passing -= 1;
                return Pass::On;
            }
            if moment.then.is_some() {
                return Pass::Follow;
            }
        }
        if moment.done {
            return Pass::Wait;
        }
        // Unless nobody waits for it any more.
        let met = watched.take().is_some_and(|Watched { met, .. }| met.send(server).is_ok());
        if met { Pass::Stop } else { Pass::On }
    }

    /// Whether this is the answer that is waited for.
    fn answered(&self, server: usize, answer: &[u8]) -> bool {
        let mut watched = self.lock();
        let met = watched.take_if(|watched| contains(answer, watched.moment.answer.as_bytes()));
        met.is_some_and(|Watched { met, .. }| met.send(server).is_ok())
    }
}

/// What a relay carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Postgres,
    Http,
}

/// The way of one server to one of its neighbours.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    generation: Arc<watch::Sender<u64>>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

impl Relay {
    /// Leads to a neighbour; the server has this number.
    pub(crate) async fn to(
        target: SocketAddr,
        speech: Speech,
        server: usize,
        lookout: &Lookout,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let generation = Arc::new(watch::Sender::new(0));
        let line = Line { speech, server, lookout: lookout.clone(), target };
        let task = tokio::spawn(accept(listener, line, generation.clone()));
        Self { address, generation, task }
    }

    /// Ends all connections: their server has died. What stands still on them never arrives.
    pub(crate) fn cut(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }
}

#[derive(Debug, Clone)]
struct Line {
    speech: Speech,
    server: usize,
    lookout: Lookout,
    target: SocketAddr,
}

async fn accept(listener: TcpListener, line: Line, generation: Arc<watch::Sender<u64>>) {
    while let Ok((near, _)) = listener.accept().await {
        let (line, mut cut) = (line.clone(), generation.subscribe());
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect(line.target).await else { return };
            drop((near.set_nodelay(true), far.set_nodelay(true)));
            let (from_near, to_near) = near.into_split();
            let (from_far, to_far) = far.into_split();
            let waits = AtomicBool::new(false);
            tokio::select! {
                () = carry_questions(from_near, to_far, &line, &waits) => {}
                () = carry_answers(from_far, to_near, &line, &waits) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn carry_questions(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    line: &Line,
    waits: &AtomicBool,
) {
    let mut questions = Questions::new(line.speech);
    let mut follows = false;
    while from.read_buf(&mut questions.read).await.is_ok_and(|read| read > 0) {
        while let Some(question) = questions.next() {
            let pass = line.lookout.asked(line.server, follows, &question);
            follows = pass == Pass::Follow;
            match pass {
                Pass::On | Pass::Follow => {}
                Pass::Wait => waits.store(true, Ordering::SeqCst),
                Pass::Stop => std::future::pending().await,
            }
            if to.write_all(&question.bytes).await.is_err() {
                return;
            }
        }
    }
}

async fn carry_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    line: &Line,
    waits: &AtomicBool,
) {
    let mut read = Vec::new();
    while from.read_buf(&mut read).await.is_ok_and(|read| read > 0) {
        if waits.load(Ordering::SeqCst) {
            if !is_whole(line.speech, &read) {
                continue;
            }
            if line.lookout.answered(line.server, &read) {
                std::future::pending::<()>().await;
            }
            waits.store(false, Ordering::SeqCst);
        }
        if to.write_all(&read).await.is_err() {
            return;
        }
        read.clear();
    }
}

/// Whether an answer has come to its end: Postgres is ready for the next question, outside of a transaction; or the body is there.
fn is_whole(speech: Speech, answer: &[u8]) -> bool {
    match speech {
        Speech::Postgres => answer.ends_with(b"Z\0\0\0\x05I"),
        Speech::Http => http_length(answer).is_some_and(|length| answer.len() >= length),
    }
}

/// A question that a server asks, whole.
#[derive(Debug)]
struct Question {
    bytes: Vec<u8>,
    /// The statement, or the request's first line; `None` where nothing is asked for yet.
    words: Option<String>,
}

/// Takes questions apart.
#[derive(Debug)]
struct Questions {
    speech: Speech,
    read: Vec<u8>,
    /// A connection to Postgres begins with messages of another form.
    begun: bool,
    statements: HashMap<Vec<u8>, String>,
}

impl Questions {
    fn new(speech: Speech) -> Self {
        Self { speech, read: Vec::new(), begun: false, statements: HashMap::new() }
    }

    fn next(&mut self) -> Option<Question> {
        match self.speech {
            Speech::Postgres => self.next_message(),
            Speech::Http => {
                let length = http_length(&self.read)?;
                let bytes = self.take(length)?;
                let words = text(bytes.split(|byte| *byte == b'\r').next().unwrap_or_default());
                Some(Question { bytes, words: Some(words) })
            }
        }
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        (self.read.len() >= length).then(|| self.read.drain(..length).collect())
    }

    fn next_message(&mut self) -> Option<Question> {
        let head = usize::from(self.begun);
        let length = self.read.get(head..head + 4)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        let bytes = self.take(head + usize::try_from(length).expect("a length"))?;
        if !self.begun {
            // Asked whether it speaks TLS, it says no, and the beginning comes then.
            const TLS: [u8; 4] = 80_877_103_u32.to_be_bytes();
            self.begun = bytes.get(4..8) != Some(TLS.as_slice());
            return Some(Question { bytes, words: None });
        }
        let mut parts = bytes[5..].split(|byte| *byte == 0);
        let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let words = match bytes[0] {
            b'P' => {
                self.statements.insert(first.to_vec(), text(second));
                None
            }
            b'B' => self.statements.get(second).cloned(),
            b'Q' => Some(text(first)),
            _ => None,
        };
        Some(Question { bytes, words })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The bytes of the first message, head and body; `None` while its head is not there.
fn http_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let lines = text(&bytes[..head]).to_ascii_lowercase();
    let body =
        lines.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    Some(head + body.unwrap_or(0))
}
