//! How few calls a bad pool costs: one good key among three others, judged by the simulator's own counts.

mod running;

use std::sync::Arc;
use std::time::Duration;

use libra_simulator::{Clock, Condition, Config, Fault, Key, Limits, Project, Simulator};
use running::{CHAT, GENERATE, Running, STREAM, chat, native};

const REQUESTS: u64 = 200;

/// Calls upstream for a request, where the others have a fault that lasts.
const LASTING: f64 = 1.1;

/// The same where the others' fault may be over with the next request, so that they have to be tried again.
const PASSING: f64 = 1.6;

/// 15 January 2027, noon in California.
const START: u64 = 1_800_043_200_000;

/// How fast time runs, and how long no request comes: for the pool all of them take about half a minute, or a whole one
/// where the fault may have passed. On a machine that is slower by half there is still room to the bound.
const RATE: u32 = 20;
const RATE_PASSING: u32 = 50;
const GAP: Duration = Duration::from_millis(2);

/// What is wrong with the other three.
enum Others {
    /// The same fault, always or by chance, in each.
    All(Condition),
    /// Another one in each.
    Each([Fault; 3]),
    /// Nothing but small quotas.
    Small(Limits),
}

struct Row {
    others: Others,
    most: f64,
}

fn table() -> Vec<Row> {
    let row = |others, most| Row { others, most };
    let always = |fault| Others::All(Condition::Faulty(fault));
    let flaky = |percent, fault| Others::All(Condition::Flaky { percent, fault });
    let minute = Limits { requests_per_minute: Some(2), ..Limits::default() };
    let day = Limits { requests_per_day: Some(2), ..Limits::default() };
    vec![
        row(always(Fault::MinuteLimit), LASTING),
        row(always(Fault::TokenLimit), LASTING),
        row(always(Fault::Leaked), LASTING),
        row(always(Fault::Invalid), LASTING),
        row(always(Fault::Suspended), LASTING),
        row(always(Fault::DayLimit), LASTING),
        row(always(Fault::NoQuota), LASTING),
        row(Others::Each([Fault::MinuteLimit, Fault::Leaked, Fault::DayLimit]), LASTING),
        row(Others::Each([Fault::Invalid, Fault::Unauthenticated, Fault::Prepay]), LASTING),
        row(Others::Small(minute), LASTING),
        row(Others::Small(day), LASTING),
        row(always(Fault::Overloaded), PASSING),
        row(always(Fault::Empty), PASSING),
        row(always(Fault::EmptyCandidate), PASSING),
        row(always(Fault::FirstEventError), PASSING),
        row(Others::Each([Fault::Overloaded, Fault::Empty, Fault::FirstEventError]), PASSING),
        row(flaky(5, Fault::Overloaded), PASSING),
        row(flaky(30, Fault::Overloaded), PASSING),
        row(flaky(70, Fault::Overloaded), PASSING),
        row(flaky(50, Fault::FirstEventError), PASSING),
        row(flaky(5, Fault::EmptyCandidate), PASSING),
        row(flaky(30, Fault::Empty), PASSING),
        row(flaky(30, Fault::ResetBeforeHeaders), PASSING),
    ]
}

impl Others {
    fn name(&self) -> String {
        match self {
            Self::All(condition) => condition.to_string(),
            Self::Each(faults) => faults.map(|fault| fault.to_string()).join(", "),
            Self::Small(limits) => match limits.requests_per_day {
                Some(day) => format!("{day} requests a day"),
                None => format!("{} requests a minute", limits.requests_per_minute.unwrap_or_default()),
            },
        }
    }

    /// Three of them and the good one, which is neither the first nor the last.
    fn simulator(&self, clock: Clock) -> Arc<Simulator> {
        let project = |key: &str, condition, limits| Project {
            keys: vec![Key::new(key, condition)],
            ..Project::new(format!("project of {key}"), limits, &[])
        };
        let mut projects: Vec<Project> = (0..3)
            .map(|n| {
                let (condition, limits) = match self {
                    Self::All(condition) => (*condition, Limits::default()),
                    Self::Each(faults) => (Condition::Faulty(faults[n]), Limits::default()),
                    Self::Small(limits) => (Condition::Healthy, *limits),
                };
                project(&format!("other-{n}"), condition, limits)
            })
            .collect();
        projects.insert(2, project("good", Condition::Healthy, Limits::default()));
        let config = Config { projects, ..Config::default() };
        Simulator::new(config, clock, 1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn few_calls_are_wasted_on_bad_keys() {
    let mut missed = Vec::new();
    for Row { others, most } in table() {
        let settings = [("LIBRA_KEYS", "other-0,other-1,good,other-2"), ("LIBRA_LOG", "off")];
        // A second's rest must be able to pass between some requests: time runs fast, and they come one after the other.
        let (origin, rate) = (Clock::system().now(), if most > LASTING { RATE_PASSING } else { RATE });
        let simulator = others.simulator(Clock::lapse(START, origin, rate));
        let lapse = format!("{rate}:{origin}:{START}");
        let running = Running::start_at(simulator, &settings, &["--time-lapse", &lapse]).await;
        let name = others.name();
        let mut unanswered = 0;
        for number in 0..REQUESTS {
            tokio::time::sleep(GAP).await;
            // Each begins another conversation: none stays with the project that it knows.
            let prompt = format!("Hello, {number}");
            let (path, body, end) = match number % 4 {
                0 => (GENERATE, native(&prompt), "}"),
                1 => (STREAM, native(&prompt), "}"),
                2 => (CHAT, chat(&prompt, false), "}"),
                _ => (CHAT, chat(&prompt, true), "data: [DONE]"),
            };
            let (status, answer) = running.post(path, body).await;
            let is_whole = status == 200 && answer.contains("Hello") && answer.trim_end().ends_with(end);
            unanswered += u64::from(!is_whole);
        }
        let counts = running.simulator.counts();
        let calls = counts.totals.requests as f64 / REQUESTS as f64;
        eprintln!("{calls:.3} calls a request (at most {most}), {unanswered} unanswered: {name}");
        if unanswered > 0 || calls > most {
            missed.push(format!("{name}: {calls:.3} calls a request, {unanswered} unanswered"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
