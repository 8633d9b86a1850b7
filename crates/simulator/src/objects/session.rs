//! Sessions of uploads, which grow chunk by chunk.
//!
//! Of what is uploaded, sizes and digests are kept, and the beginning for a while; so a file may be as large as it
//! likes. Chunks need not be multiples of the granularity that the first answer names.

use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::clock::UnixMillis;
use crate::errors::{Form, GoogleError};
use crate::objects::media::Content;
use crate::objects::shelf::{Kept, Shelf};
use crate::objects::upload::Target;
use crate::objects::{File, header};
use crate::plan::Reply;
use crate::simulator::ProjectId;

/// What Google wants chunks to be a multiple of.
pub(super) const GRANULARITY: u64 = 8 << 20;
/// Google takes no larger file.
const LARGEST: u64 = 2 << 30;
/// How long a session waits for more. Google does not say; others have seen hours and days.
const KEPT: UnixMillis = 24 * 3_600_000;
/// So much of a file is kept to be looked at.
const BEGINNING: usize = 1 << 20;
/// So much of all sessions together.
const BEGINNINGS: usize = 64 << 20;

/// The sessions that there are.
#[derive(Debug)]
pub(crate) struct Uploads {
    sessions: Shelf<Session>,
}

/// A file that is coming.
#[derive(Debug)]
struct Session {
    target: Target,
    file: File,
    /// How long it is not ready once it is there.
    processing: UnixMillis,
    declared: Option<u64>,
    received: u64,
    digest: Sha256,
    beginning: Vec<u8>,
    /// At which sizes the connection is still to be cut. Ascending.
    cuts: Vec<u64>,
    /// Which request may write. A later one takes the session over from one that hangs.
    writer: u64,
    end: End,
}

/// How far a session is.
#[derive(Debug, Clone)]
enum End {
    Open,
    /// With the answer that finished it.
    Final(Value),
    Cancelled,
}

/// A request that writes into a session, or asks about it.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(super) project: ProjectId,
    session: String,
    writer: u64,
    command: Command,
}

/// `X-Goog-Upload-Command`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Command {
    uploads: bool,
    finalizes: bool,
    queries: bool,
    cancels: bool,
}

/// Whether a chunk may go on coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    More,
    /// The connection is to be reset.
    Cut,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { sessions: Shelf::new("uploads") }
    }
}

impl Uploads {
    /// A session begins; gives its id.
    pub(super) fn start(
        &mut self,
        target: Target,
        metadata: &Value,
        mime: &str,
        declared: Option<u64>,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<String, GoogleError> {
        if declared.is_some_and(|declared| declared > LARGEST) {
            return Err(GoogleError::invalid(format!(
                "* CreateFileRequest.file.size_bytes: a file has at most {LARGEST} bytes\n"
            )));
        }
        let (file, asked) = File::uploaded(metadata, mime, now)?;
        let session = Session {
            target,
            file,
            processing: u64::try_from(asked.processing.as_millis()).unwrap_or(0),
            declared,
            received: 0,
            digest: Sha256::new(),
            beginning: Vec::new(),
            cuts: asked.cuts,
            writer: 0,
            end: End::Open,
        };
        let id = format!("AJsim{}", self.sessions.id(56));
        self.sessions.put(id.clone(), project, now, Some(now.saturating_add(KEPT)), session);
        Ok(id)
    }

    /// A request to a session begins. Without a key (`project` is None) it is enough to know the session's id.
    pub(super) fn begin(
        &mut self,
        project: Option<ProjectId>,
        id: &str,
        headers: &HeaderMap,
        now: UnixMillis,
    ) -> Result<Writing, Box<Reply>> {
        let unknown = || {
            let unknown = GoogleError::not_found("The upload session was not found.");
            Box::new(Reply::error(&unknown, Form::Single))
        };
        let project = project.or_else(|| self.sessions.owner(id, now)).ok_or_else(unknown)?;
        let Kept { it: session, .. } = self.sessions.find_mut(project, id, now).ok_or_else(unknown)?;
        let refuse = |session: &Session, message: String| {
            Err(Box::new(session.refuse(&GoogleError::invalid(message))))
        };
        let Some(command) = Command::read(header(headers, "x-goog-upload-command")) else {
            return refuse(session, "Invalid upload command: X-Goog-Upload-Command.".to_owned());
        };
        if !matches!(session.end, End::Open) && !command.queries {
            return refuse(session, "Upload has already been terminated.".to_owned());
        }
        if command.uploads {
            let offset = header(headers, "x-goog-upload-offset");
            if offset.parse() != Ok(session.received) {
                let received = session.received;
                return refuse(
                    session,
                    format!(
                        "Invalid upload offset: X-Goog-Upload-Offset is \"{offset}\", and {received} bytes were received."
                    ),
                );
            }
        }
        if !command.queries {
            session.writer += 1;
        }
        // What is past is not cut again.
        session.cuts.retain(|cut| *cut > session.received || (*cut == 0 && session.writer == 1));
        Ok(Writing { project, session: id.to_owned(), writer: session.writer, command })
    }

    /// Takes in a piece of a body.
    pub(crate) fn take(&mut self, writing: &Writing, data: &[u8], now: UnixMillis) -> Taken {
        let held: usize = self.sessions.all().map(|kept| kept.it.beginning.len()).sum();
        let Some(kept) = self.sessions.find_mut(writing.project, &writing.session, now) else {
            return Taken::More;
        };
        let session = &mut kept.it;
        // What a request says that may not write is of no account.
        if !writing.command.uploads || session.writer != writing.writer || !matches!(session.end, End::Open) {
            return Taken::More;
        }
        let room = session.cuts.first().map(|cut| cut.saturating_sub(session.received));
        let cut = room.filter(|room| *room <= data.len() as u64);
        let data = match cut {
            Some(room) => &data[..room as usize],
            None => data,
        };
        // What is kept has no gaps.
        if session.beginning.len() as u64 == session.received {
            let most = BEGINNING.saturating_sub(session.beginning.len()).min(BEGINNINGS.saturating_sub(held));
            session.beginning.extend_from_slice(&data[..data.len().min(most)]);
        }
        session.digest.update(data);
        session.received += data.len() as u64;
        if cut.is_none() {
            return Taken::More;
        }
        session.cuts.remove(0);
        Taken::Cut
    }

    /// The body of a request is there: the whole file, or what is said before that.
    pub(super) fn complete(
        &mut self,
        writing: &Writing,
        now: UnixMillis,
    ) -> Result<(Target, File), Box<Reply>> {
        let Some(kept) = self.sessions.find_mut(writing.project, &writing.session, now) else {
            let gone = GoogleError::not_found("The upload session was not found.");
            return Err(Box::new(Reply::error(&gone, Form::Single)));
        };
        let session = &mut kept.it;
        let plain = || Reply::whole(200, "text/plain; charset=utf-8", "");
        if writing.command.queries {
            let answer = match &session.end {
                End::Final(answer) => Reply::object(answer),
                End::Open | End::Cancelled => plain(),
            };
            let reply = session
                .about(answer)
                .with("x-goog-upload-size-received", &session.received.to_string())
                .with("x-goog-upload-chunk-granularity", &GRANULARITY.to_string());
            return Err(Box::new(reply));
        }
        let refuse =
            |session: &Session, message: &str| Err(Box::new(session.refuse(&GoogleError::invalid(message))));
        if session.writer != writing.writer || !matches!(session.end, End::Open) {
            return refuse(session, "Upload has already been terminated.");
        }
        if writing.command.cancels {
            session.end = End::Cancelled;
            session.beginning = Vec::new();
            return Err(Box::new(session.about(plain())));
        }
        if !writing.command.finalizes {
            return Err(Box::new(session.about(plain())));
        }
        if session.received > LARGEST || session.declared.is_some_and(|size| size != session.received) {
            let (declared, received) = (session.declared.unwrap_or(LARGEST), session.received);
            let message =
                format!("Invalid upload size: {declared} bytes were declared, and {received} received.");
            return refuse(session, &message);
        }
        let mut file = session.file.clone();
        file.size = session.received;
        file.sha256 = Some(session.digest.clone().finalize().into());
        file.ready_at = now.saturating_add(session.processing);
        file.content = Content::Kept(std::mem::take(&mut session.beginning).into());
        Ok((session.target.clone(), file))
    }

    /// The file has become what it was sent for.
    pub(super) fn finish(&mut self, writing: &Writing, answer: Value, now: UnixMillis) -> Reply {
        let reply = Reply::object(&answer);
        match self.sessions.find_mut(writing.project, &writing.session, now) {
            Some(kept) => {
                kept.it.end = End::Final(answer);
                kept.it.about(reply)
            }
            None => reply,
        }
    }
}

impl Writing {
    /// Into a session that the request itself has begun: all of the file.
    pub(super) fn whole(project: ProjectId, session: String) -> Self {
        let command = Command { uploads: true, finalizes: true, ..Command::default() };
        Self { project, session, writer: 0, command }
    }
}

impl Session {
    fn refuse(&self, error: &GoogleError) -> Reply {
        self.about(Reply::error(error, Form::Single))
            .with("x-goog-upload-size-received", &self.received.to_string())
    }

    fn about(&self, reply: Reply) -> Reply {
        let status = match self.end {
            End::Open => "active",
            End::Final(_) => "final",
            End::Cancelled => "cancelled",
        };
        reply.with("x-goog-upload-status", status).with("server", "UploadServer")
    }
}

impl Command {
    fn read(text: &str) -> Option<Self> {
        let mut command = Self::default();
        for word in text.split(',') {
            match word.trim().to_ascii_lowercase().as_str() {
                "upload" => command.uploads = true,
                "finalize" => command.finalizes = true,
                "query" => command.queries = true,
                "cancel" => command.cancels = true,
                _ => return None,
            }
        }
        Some(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_lists() {
        let check =
            |text: &str, expected: Option<Command>| assert_eq!(Command::read(text), expected, "{text}");
        let none = Command::default();
        check("upload", Some(Command { uploads: true, ..none }));
        check("upload, finalize", Some(Command { uploads: true, finalizes: true, ..none }));
        check("query", Some(Command { queries: true, ..none }));
        check("CANCEL", Some(Command { cancels: true, ..none }));
        check("", None);
        check("start", None);
    }
}
