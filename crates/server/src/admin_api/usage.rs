//! Counters and the log of requests over HTTP.

use std::collections::HashMap;
use std::sync::Arc;

use libra_core::pool::ProjectId;
use libra_core::secret::KeyId;
use libra_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::keys::within;
use super::problem::Problem;
use super::{AdminApi, Answer, parsed_id};
use crate::store::{Group, LogFilter, LogRow, Reports, UsageFilter, UsageRow};

/// Which counters, and by what they are added up.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageAsked {
    /// By what they are added up: any of `day`, `client`, `project`, `model`, parted by commas.
    #[param(pattern = "^(day|client|project|model)(,(day|client|project|model))*$", max_length = 100)]
    by: String,
    /// The first Pacific day: `2026-11-24`.
    #[param(format = Date)]
    from: Option<String>,
    /// The last Pacific day.
    #[param(format = Date)]
    to: Option<String>,
    /// Those of this client, by its id or name; `own-keys`: all that brought their own.
    #[param(min_length = 1, max_length = 128)]
    client: Option<String>,
    /// Those of this project, by its name.
    #[param(min_length = 1, max_length = 128)]
    project: Option<String>,
    /// Those of this model.
    #[param(min_length = 1, max_length = 256)]
    model: Option<String>,
    /// `csv`: a table for spreadsheets.
    #[param(inline)]
    format: Format,
    /// How many rows at most.
    #[param(minimum = 1, maximum = 100000)]
    limit: u32,
}

impl Default for UsageAsked {
    fn default() -> Self {
        Self {
            by: "day".to_owned(),
            from: None,
            to: None,
            client: None,
            project: None,
            model: None,
            format: Format::Json,
            limit: 10_000,
        }
    }
}

/// How a table is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Csv,
}

/// What was used.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Usage {
    /// Newest days first, and in a day what was used most.
    pub(crate) rows: Vec<Used>,
    /// Whether there are more rows than were asked for.
    pub(crate) is_cut: bool,
}

/// Counters that belong together. What they were not added up by is null.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct Used {
    /// The Pacific day.
    pub(crate) day: Option<String>,
    /// The client's id; `own-keys` stands for all that brought their own.
    pub(crate) client: Option<String>,
    pub(crate) client_name: Option<String>,
    /// The project; `none` for what none has served.
    pub(crate) project: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) requests: u64,
    /// Those of them that got no answer.
    pub(crate) not_answered: u64,
    pub(crate) attempts: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) total_tokens: u64,
}

/// Which requests, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestsAsked {
    /// Those before this one, newest first: the `next` of the page before.
    #[param(minimum = 0, maximum = 9007199254740991_i64)]
    before: Option<u64>,
    /// Those after this one, oldest first: for whoever follows.
    #[param(minimum = 0, maximum = 9007199254740991_i64)]
    after: Option<u64>,
    /// Those from this time on.
    #[param(
        pattern = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"
    )]
    since: Option<String>,
    /// Those before this time.
    #[param(
        pattern = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"
    )]
    until: Option<String>,
    /// Those of this client, by its id or name.
    #[param(min_length = 1, max_length = 128)]
    client: Option<String>,
    /// Those that this project has served, by its name.
    #[param(min_length = 1, max_length = 128)]
    project: Option<String>,
    /// Those that this key has served, by its id.
    #[param(pattern = "^key-[0-9a-f]{16}$")]
    key: Option<String>,
    /// Those of this model.
    #[param(min_length = 1, max_length = 256)]
    model: Option<String>,
    /// Those that ended so.
    #[param(inline)]
    ending: Option<Ending>,
    /// Those with this status.
    #[param(minimum = 100, maximum = 599)]
    status: Option<u16>,
    /// The one with this name (`x-libra-request-id`).
    #[param(pattern = "^[0-9a-f]{16}$")]
    request: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: u32,
}

impl Default for RequestsAsked {
    fn default() -> Self {
        Self {
            before: None,
            after: None,
            since: None,
            until: None,
            client: None,
            project: None,
            key: None,
            model: None,
            ending: None,
            status: None,
            request: None,
            limit: 100,
        }
    }
}

/// How requests end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Ending {
    Complete,
    Refused,
    Cut,
    ClientLeft,
}

/// Requests of the log. Nothing of what was said.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Requests {
    pub(crate) requests: Vec<Request>,
    /// The `before` (or `after`) of the next page, if there is one; where it was asked for those after one, always.
    pub(crate) next: Option<u64>,
}

/// A request that has ended.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = LoggedRequest)]
pub(crate) struct Request {
    pub(crate) number: u64,
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// Its name, as in `x-libra-request-id`.
    pub(crate) request: String,
    pub(crate) client: String,
    pub(crate) client_name: Option<String>,
    /// `gemini`, `openai`, `anthropic` or `live`.
    pub(crate) dialect: String,
    pub(crate) model: Option<String>,
    pub(crate) status: u16,
    /// `complete`, `refused`, `cut` or `client-left`.
    pub(crate) ending: String,
    pub(crate) attempts: u32,
    /// The key that served, if one did.
    pub(crate) key: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) total_tokens: Option<u64>,
    pub(crate) milliseconds: u64,
}

/// What clients and projects are called.
struct Names {
    clients: HashMap<u64, String>,
    projects: HashMap<u64, String>,
}

const OWN_KEYS: &str = "own-keys";

impl AdminApi {
    pub(super) async fn usage(&self, asked: UsageAsked) -> Result<Answer, Problem> {
        for (name, value, most) in
            [("client", &asked.client, 128), ("project", &asked.project, 128), ("model", &asked.model, 256)]
        {
            within(name, value.as_deref(), most)?;
        }
        if asked.limit == 0 || asked.limit > 100_000 {
            return Err(Problem::wrong_field("limit", "limit: expected a number from 1 to 100000."));
        }
        let groups = asked.by.split(',').map(|name| match name {
            "day" => Ok(Group::Day),
            "client" => Ok(Group::Client),
            "project" => Ok(Group::Project),
            "model" => Ok(Group::Model),
            _ => Err(Problem::wrong_field(
                "by",
                "by: expected day, client, project or model, parted by commas.",
            )),
        });
        if asked.by.len() > 100 {
            return Err(Problem::wrong_field("by", "by: expected at most 100 characters."));
        }
        let groups: Vec<Group> = groups.collect::<Result<_, _>>()?;
        for (name, day) in [("from", &asked.from), ("to", &asked.to)] {
            if day.as_deref().is_some_and(|day| !is_day(day)) {
                return Err(Problem::wrong_field(name, format!("{name}: expected a day like 2026-11-24.")));
            }
        }
        let names = self.names().await?;
        let filter = UsageFilter {
            from: asked.from,
            to: asked.to,
            client: asked.client.as_deref().map(|name| names.client(name)),
            project: asked.project.as_deref().map(|name| names.project(name)),
            model: asked.model,
        };
        let limit = asked.limit as usize;
        let mut rows = self.report(move |reports| reports.usage(&groups, &filter, limit + 1)).await?;
        let is_cut = rows.len() > limit;
        rows.truncate(limit);
        let rows: Vec<Used> = rows.into_iter().map(|row| names.used(row)).collect();
        match asked.format {
            Format::Json => Answer::json(&Usage { rows, is_cut }),
            Format::Csv => csv_of(&rows).map(Answer::Csv),
        }
    }

    pub(super) async fn requests(&self, asked: RequestsAsked) -> Result<Answer, Problem> {
        const MOST: u64 = 9_007_199_254_740_991;
        for (name, value, most) in
            [("client", &asked.client, 128), ("project", &asked.project, 128), ("model", &asked.model, 256)]
        {
            within(name, value.as_deref(), most)?;
        }
        if asked.limit == 0 || asked.limit > 1000 {
            return Err(Problem::wrong_field("limit", "limit: expected a number from 1 to 1000."));
        }
        for (name, number) in [("before", asked.before), ("after", asked.after)] {
            if number.is_some_and(|number| number > MOST) {
                return Err(Problem::wrong_field(name, format!("{name}: expected a number up to {MOST}.")));
            }
        }
        let time = |name: &'static str, text: Option<&str>| match text {
            None => Ok(None),
            Some(text) if !is_time(text) => {
                Err(Problem::wrong_field(name, format!("{name}: expected a time like 2026-11-24T08:00:00Z.")))
            }
            Some(text) => match Timestamp::from_rfc3339(text) {
                Some(time) => Ok(Some(time.as_millis())),
                None => Err(Problem::impossible(format!("{name}: there is no such time."))),
            },
        };
        if asked.status.is_some_and(|status| !(100..600).contains(&status)) {
            return Err(Problem::wrong_field("status", "status: expected a number from 100 to 599."));
        }
        let is_name = |text: &str| {
            text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if asked.request.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(Problem::wrong_field("request", "request: expected 16 hexadecimal digits."));
        }
        let key = asked.key.as_deref().map(|key| {
            let wrong = || Problem::wrong_field("key", "key: expected the id of a key.");
            parsed_id(key).map(KeyId::as_u64).ok_or_else(wrong)
        });
        let names = self.names().await?;
        let filter = LogFilter {
            before: asked.before,
            after: asked.after,
            since: time("since", asked.since.as_deref())?,
            until: time("until", asked.until.as_deref())?,
            client: asked.client.as_deref().map(|name| names.client(name)),
            project: asked.project.as_deref().map(|name| names.project(name)),
            key: key.transpose()?,
            model: asked.model,
            ending: asked.ending.map(|ending| match ending {
                Ending::Complete => "complete",
                Ending::Refused => "refused",
                Ending::Cut => "cut",
                Ending::ClientLeft => "client-left",
            }),
            status: asked.status,
            request: asked.request,
        };
        let limit = asked.limit as usize;
        let mut rows = self.report(move |reports| reports.log(&filter, limit + 1)).await?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| row.number);
        let next = match asked.after {
            Some(after) => Some(last.unwrap_or(after)),
            None => last.filter(|_| has_more),
        };
        Answer::json(&Requests { requests: rows.into_iter().map(|row| names.request(row)).collect(), next })
    }

    async fn report<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Reports) -> Result<T, crate::store::StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let reports = self.reports.clone().ok_or_else(Problem::no_store)?;
        let answer = tokio::task::spawn_blocking(move || ask(&reports)).await;
        match answer {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => Err(Problem::disk(format!("The store cannot be read: {error}"))),
            Err(_) => Err(Problem::disk("The store cannot be read.")),
        }
    }

    async fn names(&self) -> Result<Names, Problem> {
        let gateway = Arc::clone(&self.gateway);
        self.blocking(move |administration| {
            let clients =
                administration.clients().into_iter().map(|client| (client.id.as_u64(), client.name));
            let view = gateway.view(crate::clock::now());
            let projects = view
                .each_project
                .into_iter()
                .map(|project| (ProjectId::named(&project.name).as_u64(), project.name));
            Ok(Names { clients: clients.collect(), projects: projects.collect() })
        })
        .await
    }
}

impl Names {
    /// The number of a client that goes by this.
    fn client(&self, name: &str) -> u64 {
        if name == OWN_KEYS {
            return 0;
        }
        let by_name = self.clients.iter().find(|(_, known)| *known == name).map(|(id, _)| *id);
        // What nobody has is found nowhere.
        by_name.or_else(|| parsed_id(name).map(KeyId::as_u64)).unwrap_or(u64::MAX)
    }

    fn project(&self, name: &str) -> u64 {
        match name {
            "none" => 0,
            name => ProjectId::named(name).as_u64(),
        }
    }

    fn project_name(&self, id: u64) -> String {
        match id {
            0 => "none".to_owned(),
            id => self.projects.get(&id).cloned().unwrap_or_else(|| ProjectId::from_u64(id).made_up_name()),
        }
    }

    fn used(&self, row: UsageRow) -> Used {
        Used {
            day: row.day,
            client: row.client.map(|id| match id {
                0 => OWN_KEYS.to_owned(),
                id => KeyId::from_u64(id).to_string(),
            }),
            client_name: row.client.and_then(|id| self.clients.get(&id).cloned()),
            project: row.project.map(|id| self.project_name(id)),
            model: row.model,
            requests: row.requests,
            not_answered: row.not_answered,
            attempts: row.attempts,
            prompt_tokens: row.prompt_tokens,
            total_tokens: row.total_tokens,
        }
    }

    fn request(&self, row: LogRow) -> Request {
        Request {
            number: row.number,
            at: Timestamp::from_millis(row.at).rfc3339(),
            request: row.request,
            client: KeyId::from_u64(row.client).to_string(),
            client_name: self.clients.get(&row.client).cloned(),
            dialect: row.dialect,
            model: row.model,
            status: row.status,
            ending: row.ending,
            attempts: row.attempts,
            key: row.key.map(|key| KeyId::from_u64(key).to_string()),
            project: row.project.map(|id| self.project_name(id)),
            prompt_tokens: row.prompt_tokens,
            total_tokens: row.total_tokens,
            milliseconds: row.milliseconds,
        }
    }
}

/// The rows as a table. What a spreadsheet would take for a formula begins with a quote: names and models are what clients
/// and operators have made up.
fn csv_of(rows: &[Used]) -> Result<String, Problem> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let harmless = |text: &Option<String>| {
        let text = text.clone().unwrap_or_default();
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
    };
    let failed = |_| Problem::disk("The table cannot be written.");
    let header = [
        "day",
        "client",
        "client_name",
        "project",
        "model",
        "requests",
        "not_answered",
        "attempts",
        "prompt_tokens",
        "total_tokens",
    ];
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        let record = [
            harmless(&row.day),
            harmless(&row.client),
            harmless(&row.client_name),
            harmless(&row.project),
            harmless(&row.model),
            row.requests.to_string(),
            row.not_answered.to_string(),
            row.attempts.to_string(),
            row.prompt_tokens.to_string(),
            row.total_tokens.to_string(),
        ];
        writer.write_record(record).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|_| Problem::disk("The table cannot be written."))?;
    String::from_utf8(bytes).map_err(|_| Problem::disk("The table cannot be written."))
}

/// `2026-11-24`. Which days a month has is the calendar's matter: one that is not there has no counters.
pub(super) fn is_day(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    let number = |part: &str| part.parse::<u32>().unwrap_or_default();
    (year.len(), month.len(), day.len()) == (4, 2, 2)
        && parts.iter().all(|part| digits(part))
        && (1..=12).contains(&number(month))
        && (1..=31).contains(&number(day))
}

/// `2026-11-24T08:00:00Z`.
pub(super) fn is_time(text: &str) -> bool {
    let Some((day, time)) = text.split_once('T') else { return false };
    let Some(time) = time.strip_suffix('Z') else { return false };
    let parts: Vec<&str> = time.split(':').collect();
    let below = |part: &str, most: u32| {
        part.len() == 2
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse().is_ok_and(|n: u32| n < most)
    };
    is_day(day) && matches!(parts.as_slice(), [h, m, s] if below(h, 24) && below(m, 60) && below(s, 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_no_formulas() {
        let used = Used {
            client_name: Some("=1+1".to_owned()),
            model: Some("a,\"b\"".to_owned()),
            ..Used::default()
        };
        let table = csv_of(&[used]).expect("a table");
        assert_eq!(table.lines().nth(1), Some(r#",,'=1+1,,"a,""b""",0,0,0,0,0"#));
    }

    #[test]
    fn days_are_days() {
        for good in ["2026-11-24", "2000-01-31"] {
            assert!(is_day(good), "{good}");
        }
        for bad in ["2026-11", "2026-13-01", "2026-11-32", "26-11-24", "2026-1-24", "2026-11-2x", ""] {
            assert!(!is_day(bad), "{bad}");
        }
    }
}
