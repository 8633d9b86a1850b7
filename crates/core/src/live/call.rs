//! Which of the Live API's services is asked for.

use crate::route::Version;

/// A service of the Live API, as the path of its WebSocket names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The API version.
    pub version: Version,
    /// The service.
    pub method: Method,
}

/// The services of the Live API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `BidiGenerateContent`: a conversation.
    Content,
    /// `BidiGenerateContentConstrained`: the same for the holder of an ephemeral token.
    Constrained,
    /// `BidiGenerateMusic`.
    Music,
}

/// What stands before the version.
const PACKAGE: &str = "google.ai.generativelanguage.";

impl Call {
    /// What the segments behind `/ws/` name. Some clients part the service from its method by a slash.
    pub(crate) fn of_path(segments: &[&str]) -> Option<Self> {
        let (service, method) = match segments {
            [whole] => whole.rsplit_once('.')?,
            [service, method] => (*service, *method),
            _ => return None,
        };
        let (version, service) = service.strip_prefix(PACKAGE)?.split_once('.')?;
        if service != "GenerativeService" {
            return None;
        }
        let method = [Method::Content, Method::Constrained, Method::Music]
            .into_iter()
            .find(|known| known.as_str() == method)?;
        Some(Self { version: Version::parse(version)?, method })
    }

    /// The path as Google documents it.
    pub(crate) fn path(self) -> String {
        let (version, method) = (self.version.as_str(), self.method.as_str());
        format!("/ws/{PACKAGE}{version}.GenerativeService.{method}")
    }
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "BidiGenerateContent",
            Self::Constrained => "BidiGenerateContentConstrained",
            Self::Music => "BidiGenerateMusic",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_services() {
        let check = |segments: &[&str], expected: Option<&str>| {
            let path = Call::of_path(segments).map(Call::path);
            assert_eq!(path.as_deref(), expected, "{segments:?}");
        };
        for version in ["v1", "v1beta", "v1alpha"] {
            for method in ["BidiGenerateContent", "BidiGenerateContentConstrained", "BidiGenerateMusic"] {
                let service = format!("google.ai.generativelanguage.{version}.GenerativeService");
                let path = format!("/ws/{service}.{method}");
                check(&[&format!("{service}.{method}")], Some(&path));
                check(&[&service, method], Some(&path));
            }
        }
        check(&["google.ai.generativelanguage.v2.GenerativeService.BidiGenerateContent"], None);
        check(&["google.ai.generativelanguage.v1.GenerativeService.GenerateContent"], None);
        check(&["google.cloud.aiplatform.v1.LlmBidiService.BidiGenerateContent"], None);
        check(&["google.ai.generativelanguage.v1.OtherService.BidiGenerateContent"], None);
        check(&[], None);
    }
}
