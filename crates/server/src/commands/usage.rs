//! `libra usage` and `libra logs`.

use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use jiff::tz::TimeZone;
use libra_core::time::Timestamp;

use super::{Reach, done, query, read, shown};
use crate::admin_api::{LoggedRequest, Requests, Usage};
use crate::cli::{LogsOptions, Options, UsageOptions};
use crate::settings::Settings;
use crate::{StartError, say};

/// How often is looked for what has come.
const LOOKED: Duration = Duration::from_secs(1);

/// `libra usage`.
///
/// # Errors
/// The gateway or the store refuses.
pub(crate) async fn usage(
    options: &Options,
    settings: &Settings,
    asked: &UsageOptions,
) -> Result<ExitCode, StartError> {
    let reach = Reach::find(options, settings, &asked.asked)?;
    let parameters = query(&[
        ("by", Some(asked.by.clone())),
        ("from", asked.from.clone()),
        ("to", asked.to.clone()),
        ("client", asked.client.clone()),
        ("project", asked.project.clone()),
        ("model", asked.model.clone()),
        ("format", asked.csv.then(|| "csv".to_owned())),
    ]);
    let answer = reach.ask(Method::GET, &format!("/admin/api/usage{parameters}"), None).await?;
    if asked.csv || asked.asked.json {
        say(answer.trim_end());
        return done();
    }
    let usage: Usage = read(&answer)?;
    let rows = usage.rows.iter().map(|row| {
        [
            row.day.clone().unwrap_or_default(),
            row.client_name.clone().or_else(|| row.client.clone()).unwrap_or_default(),
            row.project.clone().unwrap_or_default(),
            row.model.clone().unwrap_or_default(),
            row.requests.to_string(),
            row.not_answered.to_string(),
            row.attempts.to_string(),
            row.prompt_tokens.to_string(),
            row.total_tokens.to_string(),
        ]
    });
    let header = [
        "DAY",
        "CLIENT",
        "PROJECT",
        "MODEL",
        "REQUESTS",
        "NOT ANSWERED",
        "ATTEMPTS",
        "INPUT TOKENS",
        "TOKENS",
    ];
    say(shown(header, rows.collect()).trim_end());
    if usage.is_cut {
        eprintln!("libra: there are more rows; ask for fewer days");
    }
    done()
}

/// `libra logs`.
///
/// # Errors
/// As above.
pub(crate) async fn logs(
    options: &Options,
    settings: &Settings,
    asked: &LogsOptions,
) -> Result<ExitCode, StartError> {
    let reach = Reach::find(options, settings, &asked.asked)?;
    let path = |after: Option<u64>, limit: u32| {
        let parameters = query(&[
            ("client", asked.client.clone()),
            ("project", asked.project.clone()),
            ("model", asked.model.clone()),
            ("status", asked.status.map(|status| status.to_string())),
            ("ending", asked.ending.clone()),
            ("request", asked.request.clone()),
            ("after", after.map(|after| after.to_string())),
            ("limit", Some(limit.to_string())),
        ]);
        format!("/admin/api/requests{parameters}")
    };
    let mut page: Requests = reach.get(&path(None, asked.lines)).await?;
    page.requests.reverse();
    let mut last = page.requests.last().map_or(0, |request| request.number);
    tell(&page.requests, asked.asked.json)?;
    if !asked.follow {
        return done();
    }
    loop {
        tokio::time::sleep(LOOKED).await;
        let page: Requests = reach.get(&path(Some(last), 1000)).await?;
        last = page.next.unwrap_or(last);
        tell(&page.requests, asked.asked.json)?;
    }
}

/// A line a request.
fn tell(requests: &[LoggedRequest], is_json: bool) -> Result<(), StartError> {
    let zone = TimeZone::system();
    for request in requests {
        if is_json {
            say(&serde_json::to_string(request)?);
        } else {
            say(&line(request, &zone));
        }
    }
    Ok(())
}

fn line(request: &LoggedRequest, zone: &TimeZone) -> String {
    let at = Timestamp::from_rfc3339(&request.at).and_then(|at| i64::try_from(at.as_millis()).ok());
    let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let at = at.map_or_else(
        || request.at.clone(),
        |at| at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    );
    let client = request.client_name.as_ref().unwrap_or(&request.client);
    let model = request.model.as_deref().unwrap_or("-");
    let project = request.project.as_deref().unwrap_or("-");
    let tokens = request.total_tokens.map(|tokens| format!(", {tokens} tokens")).unwrap_or_default();
    let attempts =
        if request.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", request.attempts) };
    format!(
        "{at}  {}  {}  {}  {client}  {}  {model}  {project}  {attempts}, {} ms{tokens}",
        request.request, request.status, request.ending, request.dialect, request.milliseconds
    )
}
