//! Messages to an address of the operator's, about what a person should know: keys that are set aside, projects that
//! have nothing left for the day, incidents.
//!
//! They come from one task: what happens is put into a queue with a bound, what lasts (days, incidents) is looked for.
//! The same news is told once an hour at most, and not more than a few messages a minute; what is left out is counted.
//! The address is a secret, as most have a token in them: it is never logged.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::CONTENT_TYPE;
use http::{Request, Uri};
use libra_core::clients::Limit;
use libra_core::event::Event;
use libra_core::failure::Why;
use libra_core::gateway::Gateway;
use libra_core::pool::{Measure, Named};
use libra_core::secret::{ApiKey, KeyId};
use serde_json::json;
use sha2::Sha256;
use tokio::sync::mpsc;

use crate::checks;
use crate::clock;
use crate::metrics::{METRICS, reason};
use crate::upstream::Upstream;

/// So many events wait. A pool of which a hundred keys are leaked at once is one piece of news.
const WAITING: usize = 256;

/// The same is not told again within this time.
const SAME: Duration = Duration::from_secs(3600);

/// Of so many pieces of news is remembered that they were told.
const REMEMBERED: usize = 4096;

/// So many messages a minute: services of chat take some twenty.
const A_MINUTE: usize = 15;

/// How often incidents are looked for, and days that are used up.
const INCIDENTS: Duration = Duration::from_secs(2);
const DAYS: Duration = Duration::from_secs(30);

/// Pauses between attempts to send a message.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];

/// Whoever takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where messages go, and how they look.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) url: Uri,
    /// With it, messages are signed.
    pub(crate) secret: Option<ApiKey>,
    pub(crate) format: Format,
}

/// The address may hold a token.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("format", &self.format).finish_non_exhaustive()
    }
}

/// How a message looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// All that is known, and `text`.
    #[default]
    Json,
    Slack,
    Discord,
    Feishu,
    DingTalk,
}

/// A piece of news.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum News {
    SetAside { key: KeyId, why: Why },
    Restored { key: KeyId },
    ClientNearLimit { client: KeyId, limit: Limit },
    DayUsedUp { project: String, model: Option<String> },
    IncidentBegan { model: Option<String> },
    IncidentEnded { model: Option<String> },
}

/// Takes in what happens.
pub(crate) struct Webhook(mpsc::Sender<News>);

impl Webhook {
    /// Begins to send.
    pub(crate) fn begin(address: Address, gateway: &Arc<Gateway>, upstream: Upstream) -> Self {
        let (sender, news) = mpsc::channel(WAITING);
        let teller = Teller {
            address,
            gateway: Arc::clone(gateway),
            upstream,
            told: HashMap::new(),
            sent: Vec::new(),
            incidents: Vec::new(),
        };
        tokio::spawn(teller.run(news));
        Self(sender)
    }

    /// Takes in an event. Most are no news.
    pub(super) fn hear(&self, event: &Event) {
        let news = match event {
            Event::SetAside { key, why } => News::SetAside { key: *key, why: *why },
            Event::Restored { key } => News::Restored { key: *key },
            // What lasts a minute or less is no news.
            Event::ClientNearLimit { client, limit, .. } if limit.is_of_a_day_or_more() => {
                News::ClientNearLimit { client: *client, limit: *limit }
            }
            _ => return,
        };
        if self.0.try_send(news).is_err() {
            METRICS.webhooks.dropped.inc();
        }
    }
}

struct Teller {
    address: Address,
    gateway: Arc<Gateway>,
    upstream: Upstream,
    /// What was told when.
    told: HashMap<News, Instant>,
    /// When the last messages were sent.
    sent: Vec<Instant>,
    /// The incidents that are on.
    incidents: Vec<Option<String>>,
}

impl Teller {
    async fn run(mut self, mut news: mpsc::Receiver<News>) {
        let mut days = Instant::now();
        loop {
            match tokio::time::timeout(INCIDENTS, news.recv()).await {
                Ok(Some(news)) => self.tell(news).await,
                Ok(None) => return,
                Err(_) => {}
            }
            for news in self.look_for_incidents() {
                self.tell(news).await;
            }
            if days.elapsed() >= DAYS {
                days = Instant::now();
                for news in self.look_for_used_up_days().await {
                    self.tell(news).await;
                }
            }
        }
    }

    fn look_for_incidents(&mut self) -> Vec<News> {
        let now: Vec<Option<String>> =
            self.gateway.incidents(clock::now()).into_iter().map(|incident| incident.model).collect();
        let before = std::mem::replace(&mut self.incidents, now);
        let began = self.incidents.iter().filter(|model| !before.contains(model));
        let began = began.map(|model| News::IncidentBegan { model: model.clone() });
        let ended = before.iter().filter(|model| !self.incidents.contains(model));
        began.chain(ended.map(|model| News::IncidentEnded { model: model.clone() })).collect()
    }

    async fn look_for_used_up_days(&self) -> Vec<News> {
        let gateway = Arc::clone(&self.gateway);
        let measured = tokio::task::spawn_blocking(move || {
            let named = Named { projects: 0, rooms: 1, models: &|_| false };
            gateway.measure(&named, clock::now())
        });
        let Ok(Measure { used_up, .. }) = measured.await else { return Vec::new() };
        used_up.into_iter().map(|(project, model)| News::DayUsedUp { project, model }).collect()
    }

    /// Tells a piece of news, if it is one.
    async fn tell(&mut self, news: News) {
        let now = Instant::now();
        let same = match news {
            // Days are told once: they do not end twice.
            News::DayUsedUp { .. } => SAME * 24,
            _ => SAME,
        };
        if self.told.get(&news).is_some_and(|told| now.duration_since(*told) < same) {
            return;
        }
        self.sent.retain(|sent| now.duration_since(*sent) < Duration::from_secs(60));
        if self.sent.len() >= A_MINUTE {
            METRICS.webhooks.dropped.inc();
            return;
        }
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, told| now.duration_since(*told) < SAME);
        }
        if self.told.len() < REMEMBERED {
            self.told.insert(news.clone(), now);
        }
        self.sent.push(now);
        let whose = match &news {
            News::SetAside { key, .. } | News::Restored { key } => self.gateway.project_name(*key),
            News::ClientNearLimit { client, .. } => self.name_of(*client),
            _ => None,
        };
        let body = news.written(self.address.format, whose.as_deref());
        self.send(&body).await;
    }

    fn name_of(&self, client: KeyId) -> Option<String> {
        let config = self.gateway.config();
        let name = config.clients.find(client).map(|client| client.settings.name.clone());
        name.filter(|name| !name.is_empty())
    }

    async fn send(&self, body: &str) {
        for pause in PAUSES.map(Some).into_iter().chain([None]) {
            let answer = checks::ask(self.address.request(body), &self.upstream);
            let problem = match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok((status, ..))) if status.is_success() => {
                    METRICS.webhooks.sent.inc();
                    return;
                }
                Ok(Ok((status, ..))) => format!("it answered {}", status.as_u16()),
                Ok(Err(problem)) => problem,
                Err(_) => "no answer in time".to_owned(),
            };
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => {
                    METRICS.webhooks.failed.inc();
                    tracing::warn!("a message to the webhook was not taken: {problem}");
                }
            }
        }
    }
}

impl Address {
    fn request(&self, body: &str) -> Request<Option<Bytes>> {
        let mut request = Request::new(Some(Bytes::from(body.to_owned())));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.url.clone();
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        if let Some(secret) = &self.secret
            && let Ok(signature) = http::HeaderValue::try_from(format!("sha256={}", signature(secret, body)))
        {
            request.headers_mut().insert("x-libra-signature", signature);
        }
        request
    }
}

fn signature(secret: &ApiKey, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("an HMAC takes keys of every length");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl News {
    fn name(&self) -> &'static str {
        match self {
            Self::SetAside { why: Why::Leaked, .. } => "key_leaked",
            Self::SetAside { .. } => "key_set_aside",
            Self::Restored { .. } => "key_restored",
            Self::ClientNearLimit { .. } => "client_near_limit",
            Self::DayUsedUp { .. } => "project_day_used_up",
            Self::IncidentBegan { .. } => "incident_began",
            Self::IncidentEnded { .. } => "incident_ended",
        }
    }

    /// In words; in English and Chinese, as every message for people. `whose` names the key's project, or the client.
    fn text(&self, whose: Option<&str>) -> String {
        let of = whose.map(|project| format!(" (project {project})")).unwrap_or_default();
        let at = |model: &Option<String>| model.clone().unwrap_or_else(|| "Google".to_owned());
        match self {
            Self::SetAside { key, why: Why::Leaked } => format!(
                "Libra: key {key}{of} was found in public and Google has switched it off. Delete it and make a new one. \
                 密钥 {key} 已泄露并被 Google 停用，请删除并更换。"
            ),
            Self::SetAside { key, why } => {
                let why = reason(*why);
                format!("Libra: key {key}{of} is not used any more: {why}. 密钥 {key} 已停用：{why}。")
            }
            Self::Restored { key } => {
                format!("Libra: key {key}{of} is in use again. 密钥 {key} 已恢复使用。")
            }
            Self::ClientNearLimit { client, limit } => {
                let (client, limit) = (whose.map_or_else(|| client.to_string(), str::to_owned), limit.name());
                format!(
                    "Libra: client {client} has used four fifths of its {limit}. \
                     客户端 {client} 的 {limit} 已用去八成。"
                )
            }
            Self::DayUsedUp { project, model } => {
                let what = model.as_deref().map(|model| format!(" for {model}")).unwrap_or_default();
                format!(
                    "Libra: project {project} has nothing left today{what}. 项目 {project} 今日额度已用尽。"
                )
            }
            Self::IncidentBegan { model } => {
                let what = at(model);
                format!(
                    "Libra: many projects fail alike with {what}; requests pause. {what} 出现大面积故障，请求暂停。"
                )
            }
            Self::IncidentEnded { model } => {
                let what = at(model);
                format!("Libra: {what} answers again. {what} 已恢复。")
            }
        }
    }

    fn written(&self, format: Format, whose: Option<&str>) -> String {
        let text = self.text(whose);
        let message = match format {
            Format::Slack => json!({ "text": text }),
            Format::Discord => json!({ "content": text, "allowed_mentions": { "parse": [] } }),
            Format::Feishu => json!({ "msg_type": "text", "content": { "text": text } }),
            Format::DingTalk => json!({ "msgtype": "text", "text": { "content": text } }),
            Format::Json => {
                let at = i64::try_from(clock::now().as_millis()).ok();
                let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
                let (key, why, project, model) = match self {
                    Self::SetAside { key, why } => (Some(key), Some(reason(*why)), whose, None),
                    Self::Restored { key } => (Some(key), None, whose, None),
                    Self::ClientNearLimit { limit, .. } => (None, Some(limit.name()), None, None),
                    Self::DayUsedUp { project, model } => {
                        (None, None, Some(project.as_str()), model.as_deref())
                    }
                    Self::IncidentBegan { model } | Self::IncidentEnded { model } => {
                        (None, None, None, model.as_deref())
                    }
                };
                let client = match self {
                    Self::ClientNearLimit { client, .. } => {
                        Some(whose.map_or_else(|| client.to_string(), str::to_owned))
                    }
                    _ => None,
                };
                json!({
                    "event": self.name(),
                    "text": text,
                    "at": at.map(|at| at.to_string()),
                    "key": key.map(ToString::to_string),
                    "reason": why,
                    "project": project,
                    "client": client,
                    "model": model,
                })
            }
        };
        message.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_as_their_readers_want_them() {
        let key = ApiKey::new("fixture-key-1").id();
        let news = News::SetAside { key, why: Why::Leaked };
        let check = |format: Format, path: &str| {
            let message: serde_json::Value =
                serde_json::from_str(&news.written(format, Some("a"))).expect("JSON");
            let text = message.pointer(path).and_then(serde_json::Value::as_str).expect("a text");
            assert!(text.contains(&key.to_string()) && text.contains("(project a)"), "{text}");
        };
        check(Format::Json, "/text");
        check(Format::Slack, "/text");
        check(Format::Discord, "/content");
        check(Format::Feishu, "/content/text");
        check(Format::DingTalk, "/text/content");
    }

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        // Its second test case.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(&ApiKey::new("Jefe"), "what do ya want for nothing?"), expected);
    }
}
