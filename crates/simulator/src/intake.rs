//! Uploads that are taken in piece by piece, so that a body of any size needs no memory.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};

use crate::call;
use crate::clock::UnixMillis;
use crate::counts::Log;
use crate::errors::{Form, GoogleError};
use crate::objects::{self, Route, Taken, Writing, is_streamed};
use crate::plan::{Plan, Reply};
use crate::simulator::{Simulator, Ticket};

/// An upload that is being taken in. When it is dropped, what came of it stays.
pub(crate) struct Intake {
    simulator: Arc<Simulator>,
    ticket: Ticket,
    /// With the beginning of the body.
    request: Request<Bytes>,
    beginning: Vec<u8>,
    size: usize,
    came: UnixMillis,
    /// Or what is said to it once it is there.
    writing: Result<Writing, Box<Reply>>,
}

impl Simulator {
    /// Begins to take in a body piece by piece. None: a request that is answered as a whole.
    pub(crate) fn intake(
        self: &Arc<Self>,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Option<Intake> {
        let route = uri.path().starts_with("/upload/").then(|| Route::read(uri))??;
        if !is_streamed(method, uri, headers) {
            return None;
        }
        let came = self.clock().now();
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers.clone();
        let credential = call::credential(headers, uri);
        let (caller, ticket) = self.enter(&credential, route.counted(method), "", came);
        let admitted = match credential {
            Ok(_) => objects::admit(self, &request, &route, &caller, came).map(Some),
            // SDKs send no key with the chunks of a file: who knows the session's address may write.
            Err(error) if error.status == 403 && call::query(uri, "upload_id").is_some() => Ok(None),
            Err(error) => Err(error),
        };
        let refused = |error: GoogleError| Box::new(Reply::error(&error, Form::Single));
        let writing = admitted.map_err(refused).and_then(|project| {
            self.objects(|objects| objects.begin_upload(&request, &route, project, came))
        });
        let simulator = Arc::clone(self);
        Some(Intake { simulator, ticket, request, beginning: Vec::new(), size: 0, came, writing })
    }
}

impl Intake {
    /// Takes in a piece of the body.
    pub(crate) fn take(&mut self, data: &[u8]) -> Taken {
        self.size += data.len();
        let more = Log::BODY.saturating_sub(self.beginning.len()).min(data.len());
        self.beginning.extend_from_slice(&data[..more]);
        match &self.writing {
            Ok(writing) => self.simulator.objects(|objects| objects.uploads.take(writing, data, self.came)),
            Err(_) => Taken::More,
        }
    }

    /// The body is complete.
    pub(crate) fn finish(self) -> (Plan, Option<Ticket>) {
        let now = self.simulator.clock().now();
        let reply = match &self.writing {
            Ok(writing) => self.simulator.objects(|objects| objects.finish_upload(writing, now)),
            Err(refused) => Reply::clone(refused),
        };
        self.answered(Plan::Answer(reply))
    }

    /// The connection ends here.
    pub(crate) fn cut(self) -> (Plan, Option<Ticket>) {
        self.answered(Plan::Reset)
    }

    fn answered(self, plan: Plan) -> (Plan, Option<Ticket>) {
        let request = self.request.map(|_| self.beginning.into());
        self.simulator.answered(&self.ticket, &request, self.size, &plan, self.came);
        (plan, Some(self.ticket))
    }
}
