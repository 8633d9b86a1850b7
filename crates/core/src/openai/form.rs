//! Requests that are forms: files beside fields of text.

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::{Error, Kind};
use crate::gemini::media_type;
use crate::gemini::remote::Accepts;
use crate::gemini::request::Blob;
use crate::multipart::{self, Fault, Field};

/// A form that was read.
#[derive(Debug)]
pub(super) struct Form<'a> {
    body: &'a Bytes,
    fields: Vec<Field<'a>>,
}

/// A file of a form. Shares the memory of the request's body.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// What it is, as Gemini knows it.
    pub(super) mime_type: &'static str,
    pub(super) data: Bytes,
}

impl<'a> Form<'a> {
    /// Reads a body. None: it is said to be something else than a form.
    ///
    /// # Errors
    /// 400 for what is said to be a form and is none.
    pub(super) fn read(body: &'a Bytes, content_type: &str) -> Result<Option<Self>, Error> {
        let Some(boundary) = multipart::boundary(content_type) else { return Ok(None) };
        let fields = multipart::fields(body, &boundary).map_err(|fault| {
            Error::new(
                Kind::BadRequest,
                match fault {
                    Fault::Cut => "Invalid body: the form does not end with its boundary.",
                    Fault::Head => "Invalid body: a field of the form has no name.",
                    Fault::TooMany => "Invalid body: the form has too many fields.",
                },
            )
        })?;
        Ok(Some(Self { body, fields }))
    }

    /// The fields of a name; a list may have brackets behind it, as in `image[]` and `image[0]`.
    fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f Field<'a>> {
        self.fields.iter().filter(move |field| {
            let rest = field.name.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('[') && rest.ends_with(']'))
        })
    }

    /// A field of text; one that is empty is none.
    ///
    /// # Errors
    /// 400 for what is no text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        Ok(self.texts(name)?.into_iter().next_back())
    }

    /// All fields of text of a name, but for empty ones.
    ///
    /// # Errors
    /// 400 for what is no text.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&'a str>, Error> {
        let texts = self.all(name).map(|field| {
            field
                .text()
                .map_err(|_| Error::bad_request(format!("Invalid value for '{name}': expected text."), name))
        });
        let texts: Vec<&str> = texts.collect::<Result<_, _>>()?;
        Ok(texts.into_iter().map(str::trim).filter(|text| !text.is_empty()).collect())
    }

    /// A number.
    ///
    /// # Errors
    /// 400 for what is none.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Error> {
        let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
        self.text(name)?
            .map(|text| {
                number(text).ok_or_else(|| {
                    Error::bad_request(format!("Invalid value for '{name}': expected a number."), name)
                })
            })
            .transpose()
    }

    /// A yes or a no.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        Ok(matches!(self.text(name)?, Some("true" | "True" | "1")))
    }

    /// The files of a name.
    ///
    /// # Errors
    /// 400 for a file that Gemini does not read.
    pub(super) fn files(&self, name: &str) -> Result<Vec<File>, Error> {
        self.all(name).map(|field| self.file(field, name)).collect()
    }

    /// The first file of a name, whatever it is: the name that it has with the client, its media type as the client
    /// says it, and its bytes.
    pub(super) fn raw<'f>(&'f self, name: &'f str) -> Option<(Option<&'f str>, Option<&'a str>, Bytes)> {
        let field = self.all(name).next()?;
        Some((field.file_name.as_deref(), field.content_type, self.body.slice_ref(field.data)))
    }

    fn file(&self, field: &Field<'a>, param: &str) -> Result<File, Error> {
        let name = field.file_name.as_deref().unwrap_or_default();
        let kind = media_type::of(field.content_type, name, field.data, Accepts::Media);
        let mime_type =
            kind.map_err(|what| Error::bad_request(format!("Invalid file '{param}': it is {what}."), param))?;
        Ok(File { mime_type, data: self.body.slice_ref(field.data) })
    }
}

impl File {
    /// Whether it is of a kind, as `image` or `audio`.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.mime_type.strip_prefix(kind).is_some_and(|rest| rest.starts_with('/'))
    }

    /// As it goes to Gemini.
    pub(super) fn blob(&self) -> Blob<'static> {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(&self.data);
        Blob { mime_type: Cow::Borrowed(self.mime_type), data: Cow::Owned(data) }
    }
}
