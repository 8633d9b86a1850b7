//! A file that a client has named, and what of it the client gets: what it is, or its bytes.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response};

use super::{Ask, Next, Of, plain};
use crate::error::Error;
use crate::openai::batches::{GeminiBatch, output};
use crate::openai::files::{self, FileId, GeminiFile};
use crate::resource::{Area, ResourceCall};
use crate::route::Version;

/// A file that a client has named.
#[derive(Debug)]
pub(crate) struct Shown {
    /// As the client has it.
    pub(super) id: String,
    pub(super) file: FileId,
}

impl Shown {
    pub(super) fn read(id: String) -> Result<Self, Error> {
        match FileId::read(&id) {
            Some(file) => Ok(Self { id, file }),
            None => Err(files::no_file(&id)),
        }
    }

    /// The same, for what comes next.
    pub(super) fn take(&mut self) -> Self {
        Self { id: std::mem::take(&mut self.id), file: self.file.clone() }
    }

    pub(super) fn ask(&self, method: Method) -> Ask {
        plain(method, &["files", self.file.last()])
    }

    pub(super) fn bytes(&self) -> Ask {
        let parts = ["files", &format!("{}:download", self.file.last())];
        Ask {
            call: ResourceCall::new(&Method::GET, Version::V1Beta, Area::Plain, &parts, "alt=media"),
            ..self.ask(Method::GET)
        }
    }

    /// The file that came of a batch. How large it is, nobody says.
    pub(super) fn output_of(&self, batch: &GeminiBatch) -> Bytes {
        let kind = if self.file.errors { "error" } else { "output" };
        let ended = batch.ended();
        files::FileObject {
            id: self.id.clone(),
            object: "file",
            bytes: 0,
            created_at: ended,
            expires_at: None,
            filename: format!("{}_{kind}.jsonl", batch.id()).into(),
            purpose: "batch_output",
            status: "processed",
            status_details: None,
        }
        .write()
    }

    /// Bytes for the client: those of a batch in OpenAI's words.
    pub(super) fn content(
        &self,
        reply: Response<Bytes>,
        model: Option<&str>,
        of: Of<'_>,
    ) -> Result<Next, Error> {
        if !self.file.errors && !output::is_output(reply.body()) {
            return Ok(Next::Done(reply));
        }
        let translation = output::Of {
            file: &self.file,
            model,
            created: of.now.as_secs(),
            signatures_in_ids: of.gateway.config().signatures_in_ids,
        };
        let (body, issued) = output::translate(reply.body(), translation)?;
        if !issued.is_empty() {
            of.gateway.signatures().remember(of.client, issued);
        }
        let mut response = Response::new(body);
        let kind = HeaderValue::from_static("application/jsonl");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(Next::Done(response))
    }

    /// OpenAI's word for it.
    pub(super) fn not_given(&self, file: &GeminiFile) -> Error {
        let purpose = file.label().purpose;
        let message = format!(
            "Not allowed to download files of purpose: {purpose}. Gemini gives the bytes of files that it has made \
             itself, as what comes of a batch, and never those of uploads. Gemini 不提供已上传文件的下载。"
        );
        Error::bad_request(message, "id")
    }
}
