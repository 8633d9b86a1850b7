//! Where requests leave from, for `/ready`: each platform says it otherwise, or not at all.

use http::Uri;
use js_sys::Reflect;
use libra_core::gateway::Place;
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, RequestInit, Response};

use crate::js;

/// The variables of Vercel and Deno Deploy that name the region.
pub(crate) const VARIABLES: [&str; 2] = ["VERCEL_REGION", "DENO_REGION"];

/// Cloudflare's own page that tells whoever asks where it sees him: a Worker, the data centre that it runs in.
const TRACE: &str = "https://www.cloudflare.com/cdn-cgi/trace";

/// So much of the page is looked at; it has some 300 bytes.
const LONGEST: usize = 4096;

/// Vercel's regions: <https://vercel.com/docs/regions>.
const COUNTRIES: [(&str, &str); 20] = [
    ("arn1", "SE"),
    ("bom1", "IN"),
    ("cdg1", "FR"),
    ("cle1", "US"),
    ("cpt1", "ZA"),
    ("dub1", "IE"),
    ("dxb1", "AE"),
    ("fra1", "DE"),
    ("gru1", "BR"),
    ("hkg1", "HK"),
    ("hnd1", "JP"),
    ("iad1", "US"),
    ("icn1", "KR"),
    ("kix1", "JP"),
    ("lhr1", "GB"),
    ("pdx1", "US"),
    ("sfo1", "US"),
    ("sin1", "SG"),
    ("syd1", "AU"),
    ("yul1", "CA"),
];

/// A region as a platform's variable names it.
pub(crate) fn of_region(region: String) -> Place {
    let country = COUNTRIES.iter().find(|(known, _)| *known == region);
    Place { country: country.map(|(_, country)| (*country).to_owned()), region }
}

/// Whether it has to be asked for: a request for `/ready` on Cloudflare, which puts what it knows of the client beside each
/// request, and nothing of where the Worker runs.
pub(crate) fn is_asked(request: &Request, uri: &Uri) -> bool {
    uri.path().ends_with("/ready") && Reflect::get(request, &"cf".into()).is_ok_and(|cf| cf.is_object())
}

/// Asks Cloudflare. None: it does not say.
pub(crate) async fn ask() -> Option<Place> {
    let asked = JsFuture::from(js::fetch(TRACE, &RequestInit::new())).await.ok()?;
    let answer: Response = asked.dyn_into().ok()?;
    let page = JsFuture::from(answer.text().ok()?).await.ok()?.as_string()?;
    of_trace(page.get(..page.len().min(LONGEST))?)
}

/// `colo=FRA` and `loc=DE`, each in a line.
fn of_trace(page: &str) -> Option<Place> {
    let field = |name: &str| {
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    Some(Place { region: field("colo")?, country: field("loc") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let place = |region: &str, country: Option<&str>| Place {
            region: region.to_owned(),
            country: country.map(str::to_owned),
        };
        assert_eq!(of_region("hkg1".to_owned()), place("hkg1", Some("HK")));
        assert_eq!(of_region("gcp-us-east4".to_owned()), place("gcp-us-east4", None));
        let page = "fl=1f1\nh=www.cloudflare.com\nip=192.0.2.1\ncolo=FRA\nhttp=http/2\nloc=DE\n";
        assert_eq!(of_trace(page), Some(place("FRA", Some("DE"))));
        assert_eq!(of_trace("<html>"), None);
    }
}
