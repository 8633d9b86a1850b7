//! A connection whose unfinished messages count against the common memory: a thousand sessions, each in the midst of a message
//! of sixteen megabytes, would else be more than there is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use libra_core::memory::Held;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much of a message is not counted: most are shorter, and what is read at a time has room for it anyway.
const FREE: usize = super::READ_BUFFER;

/// A connection that counts what it has brought since the last message was whole.
pub(super) struct Counted<S> {
    inner: S,
    unfinished: usize,
    held: Held,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, held: Held) -> Self {
        Self { inner, unfinished: 0, held }
    }

    /// All that has come so far was taken out.
    pub(super) fn taken(&mut self) {
        self.unfinished = 0;
        if self.held.bytes() > 0 {
            self.held.release();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        self.unfinished += read;
        if self.unfinished > FREE && !self.held.grow(read) {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use libra_core::memory::Memory;

    use super::*;

    #[tokio::test]
    async fn long_messages_take_room_until_they_are_whole() {
        let memory = Memory::new(100 << 10);
        let message = vec![0; 60 << 10];
        let read = async |counted: &mut Counted<&[u8]>| {
            let mut space = [0; 8 << 10];
            loop {
                let mut buffer = ReadBuf::new(&mut space);
                poll_fn(|context| Pin::new(&mut *counted).poll_read(context, &mut buffer)).await?;
                if buffer.filled().is_empty() {
                    return Ok::<_, io::Error>(());
                }
            }
        };
        let mut first = Counted::new(&message[..], memory.share());
        read(&mut first).await.expect("there is room");
        assert!((40 << 10..=60 << 10).contains(&memory.held()), "{}", memory.held());
        let error = read(&mut Counted::new(&[0; 80 << 10][..], memory.share())).await.expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        first.taken();
        assert_eq!(memory.held(), 0);
    }
}
