//! The socket of a WebSocket, which counts the frames that come.
//!
//! tungstenite hands on messages, and takes the frames between them without a word: empty pieces of one message would keep
//! it busy for ever. So frames are counted here, before it sees them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::super::connection::{Slot, Wire};

const MINUTE: Duration = Duration::from_secs(60);
/// The two bytes that every frame has, and the longest form of its length.
const HEAD_BYTES_MAX: usize = 10;
const MASK_BYTES: u64 = 4;
const CLOSE: u8 = 8;
/// The bit that the last frame of a message has.
const FINAL: u8 = 0x80;

/// The socket and its count.
pub(super) struct Frames {
    stream: TcpStream,
    count: Count,
    _slot: Slot,
}

/// How many frames came within the minute, and where in a frame the next byte stands.
pub(super) struct Count {
    limit: u32,
    /// When the minute began.
    began: Instant,
    frames: u32,
    /// What has come of the next frame's head.
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: u8,
    /// What is missing of the frame whose head has come.
    rest: u64,
    /// A message has begun in one frame, and goes on in the next.
    unfinished: bool,
    /// Since when a message, or a frame, has been on its way.
    partial_since: Option<Instant>,
    /// A close frame has come.
    closed: bool,
    /// A length came in more bytes than it needs, which others may read as another frame.
    overlong: bool,
}

impl Frames {
    /// The socket of a connection that has been upgraded, and what has come of the first frames already. It takes `limit`
    /// frames in a minute.
    pub(super) fn new(wire: Wire, begun: &[u8], limit: u32) -> Self {
        wire.slot.upgraded();
        let mut count = Count::new(limit, Instant::now());
        count.read(begun);
        Self { stream: wire.stream, count, _slot: wire.slot }
    }

    /// Whether more frames came than may. Nothing is read any more then.
    pub(super) const fn are_too_many(&self) -> bool {
        self.count.frames > self.count.limit
    }

    /// Whether a frame told its length in more bytes than it needs. Nothing is read any more then.
    pub(super) const fn are_overlong(&self) -> bool {
        self.count.overlong
    }

    /// Whether a message has been on its way for longer than that: what has come of it is kept until it is whole.
    pub(super) fn has_waited(&self, now: Instant, limit: Duration) -> bool {
        self.count.partial_since.is_some_and(|since| now >= since + limit)
    }

    /// The socket, and the count that goes on with what is read from it.
    pub(super) const fn parts(&mut self) -> (&TcpStream, &mut Count) {
        (&self.stream, &mut self.count)
    }
}

impl Count {
    fn new(limit: u32, began: Instant) -> Self {
        Self {
            limit,
            began,
            frames: 0,
            head: [0; HEAD_BYTES_MAX],
            head_bytes: 0,
            rest: 0,
            unfinished: false,
            partial_since: None,
            closed: false,
            overlong: false,
        }
    }

    /// Counts the frames in what has come; whether a close frame was among them, now or before.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            let skipped = usize::try_from(self.rest).unwrap_or(usize::MAX).min(bytes.len());
            self.rest -= u64::try_from(skipped).unwrap_or(self.rest);
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((byte, others)) = bytes.split_first() else { return self.closed };
            bytes = others;
            self.head_byte(*byte);
        }
    }

    fn head_byte(&mut self, byte: u8) {
        if let Some(place) = self.head.get_mut(usize::from(self.head_bytes)) {
            *place = byte;
        }
        self.head_bytes += 1;
        let [first, second, length @ ..] = self.head;
        let (head_bytes, payload, least) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes([length[0], length[1]])), 126),
            127 => (10, u64::from_be_bytes(length), 0x1_0000),
            short => (2, u64::from(short), 0),
        };
        if self.head_bytes < 2 || self.head_bytes < head_bytes {
            return;
        }
        self.overlong |= payload < least;
        let mask = if second & 0x80 == 0 { 0 } else { MASK_BYTES };
        self.rest = payload.saturating_add(mask);
        self.head_bytes = 0;
        self.frames = self.frames.saturating_add(1);
        let opcode = first & 0x0f;
        self.closed |= opcode == CLOSE;
        // Control frames come between the frames of a message.
        if opcode < CLOSE {
            self.unfinished = first & FINAL == 0;
        }
    }

    /// Notes whether a message is on its way. While frames come to their end, it counts from the last of these.
    fn note(&mut self, now: Instant, frames_before: u32) {
        let partial = self.unfinished || self.rest > 0 || self.head_bytes > 0;
        let since = self.partial_since.filter(|_| self.unfinished || self.frames == frames_before);
        self.partial_since = partial.then(|| since.unwrap_or(now));
    }

    /// Begins a new minute when one is over.
    fn tick(&mut self, now: Instant) {
        if now >= self.began + MINUTE {
            (self.began, self.frames) = (now, 0);
        }
    }
}

/// What was counted of some bytes.
#[cfg(any(test, fuzzing))]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) frames: u32,
    closed: bool,
    rest: u64,
    head_bytes: u8,
}

#[cfg(any(test, fuzzing))]
impl Count {
    /// Counts bytes that come in pieces of this size.
    pub(super) fn of(bytes: &[u8], piece: usize) -> Counted {
        let mut count = Self::new(u32::MAX, Instant::now());
        for piece in bytes.chunks(piece.max(1)) {
            count.read(piece);
        }
        let Self { frames, closed, rest, head_bytes, .. } = count;
        Counted { frames, closed, rest, head_bytes }
    }
}

impl AsyncRead for Frames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.are_too_many() && !self.are_overlong() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            let now = Instant::now();
            self.count.tick(now);
            let frames = self.count.frames;
            self.count.read(buffer.filled().get(before..).unwrap_or_default());
            self.count.note(now, frames);
        }
        if self.are_too_many() {
            return Poll::Ready(Err(io::Error::other("too many frames")));
        }
        if self.are_overlong() {
            return Poll::Ready(Err(io::Error::other("an overlong length")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Frames {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame::{
        FrameHeader,
        coding::{Control, Data, OpCode},
    };

    use super::*;

    #[test]
    fn a_message_that_is_on_its_way_is_noted_until_it_is_whole() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let mut count = Count::new(300, start);
        let mut hear = |bytes: &[u8], seconds: u64| {
            let before = count.frames;
            count.read(bytes);
            count.note(after(seconds), before);
            count.partial_since
        };
        assert_eq!(hear(&[0x81, 0x02, b'h', b'i'], 0), None, "whole");
        assert_eq!(hear(&[0x01, 0x02, b'h', b'i'], 1), Some(after(1)), "goes on in another frame");
        assert_eq!(hear(&[0x89, 0x00], 5), Some(after(1)), "a ping between them");
        assert_eq!(
            hear(&[0x80, 0x01], 6),
            Some(after(6)),
            "its last frame, of which a byte is missing"
        );
        assert_eq!(hear(b"!", 7), None, "whole at last");
        assert_eq!(hear(&[0x81], 8), Some(after(8)), "half a head");
        assert_eq!(hear(&[0x01, b'a', 0x81, 0x02, b'b'], 9), Some(after(9)), "the next one");
        assert_eq!(hear(b"c", 10), None);
    }

    fn frame(masked: bool, opcode: OpCode, length: usize) -> Vec<u8> {
        let mask = masked.then_some([1, 2, 3, 4]);
        let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
        let mut bytes = Vec::new();
        header.format(length as u64, &mut bytes).unwrap();
        // A payload that looks like close frames.
        bytes.resize(bytes.len() + length, 0x88);
        bytes
    }

    proptest! {
        /// However the network cuts them.
        #[test]
        fn all_frames_are_counted(
            frames in prop::collection::vec((any::<bool>(), 0..4usize, 0..70_000usize), 0..8),
            cut in 1..5_000usize,
        ) {
            let mut bytes = Vec::new();
            let mut closed = false;
            for (masked, kind, length) in &frames {
                let opcode = [
                    OpCode::Data(Data::Text),
                    OpCode::Data(Data::Continue),
                    OpCode::Control(Control::Ping),
                    OpCode::Control(Control::Close),
                ][*kind];
                closed |= *kind == 3;
                let length = if *kind == 2 { length % 126 } else { *length };
                bytes.extend(frame(*masked, opcode, length));
            }
            let mut count = Count::new(100, Instant::now());
            for part in bytes.chunks(cut) {
                count.read(part);
            }
            prop_assert_eq!(count.frames as usize, frames.len());
            prop_assert_eq!((count.closed, count.rest, count.head_bytes), (closed, 0, 0));
        }
    }

    #[test]
    fn a_length_in_more_bytes_than_it_needs_is_noted() {
        let overlong = |head: &[u8]| {
            let mut count = Count::new(2, Instant::now());
            count.read(head);
            count.overlong
        };
        assert!(overlong(&[0x89, 0xfe, 0, 125]));
        assert!(!overlong(&[0x89, 0xfe, 0, 126]));
        assert!(!overlong(&[0x89, 0xfe, 0]), "not all of it has come");
        assert!(overlong(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]));
        assert!(!overlong(&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]));
    }

    #[test]
    fn a_minute_later_frames_may_come_again() {
        let now = Instant::now();
        let mut count = Count::new(2, now);
        let one = frame(true, OpCode::Control(Control::Ping), 3);
        for _ in 0..3 {
            count.read(&one);
        }
        count.tick(now + MINUTE - Duration::from_millis(1));
        assert_eq!(count.frames, 3);
        count.tick(now + MINUTE);
        assert_eq!(count.frames, 0);
    }
}
