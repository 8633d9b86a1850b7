//! The load: who asks for what, and when.

use std::fmt::Write as _;

use bytes::Bytes;
use fastrand::Rng;
use libra_simulator::{Condition, UnixMillis};

use crate::calendar::Days;
use crate::scenario::{Arrivals, Client, Scenario, millis};

/// A request on its way to the gateway.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// When it arrives.
    pub at: UnixMillis,
    /// Which client sends it.
    pub client: u32,
    /// Input tokens that it should have; [`body`] comes as near as its envelope allows.
    pub tokens: u64,
    /// Whether it asks for a stream.
    pub stream: bool,
    /// The number of its conversation among its client's.
    pub conversation: u32,
    /// How many turns of the conversation came before it.
    pub turn: u32,
}

/// What others take out of a project's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OthersCall<'a> {
    /// When.
    pub(crate) at: UnixMillis,
    /// The number of the project.
    pub(crate) project: usize,
    /// The model.
    pub(crate) model: &'a str,
}

/// Milliseconds of a minute, for rates.
const MINUTE: f64 = 60_000.0;

/// Input tokens of what others ask for.
pub(crate) const OTHERS_TOKENS: u64 = 100;

/// Conversations that a client has at the same time.
const OPEN_CONVERSATIONS: usize = 4;

/// A trial keeps each request in memory.
const MOST_REQUESTS: usize = 20_000_000;

/// All requests of a run, the earliest first.
///
/// # Errors
/// A load that is a share of something without limit.
pub fn arrivals(scenario: &Scenario, days: &Days, seed: u64) -> Result<Vec<Arrival>, String> {
    let mut all = Vec::new();
    for (number, client) in scenario.clients.iter().enumerate() {
        // Each client has its own chance, so that another client beside it changes nothing for it.
        let mut random = Rng::with_seed(seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut conversations = Conversations::default();
        for at in moments(scenario, client, days, &mut random)? {
            let (conversation, turn) = conversations.next(client.turns, &mut random);
            let [least, most] = client.tokens;
            all.push(Arrival {
                at,
                client: number as u32,
                tokens: random.u64(least..=most),
                stream: random.f64() < client.streams,
                conversation,
                turn,
            });
        }
    }
    // Stable: of two at the same moment the first client's is first.
    all.sort_by_key(|arrival| arrival.at);
    Ok(all)
}

/// The calls of others, the earliest first.
pub(crate) fn others<'a>(scenario: &'a Scenario, seed: u64) -> Vec<OthersCall<'a>> {
    let mut random = Rng::with_seed(seed ^ 0x0741_e45c_a115);
    let mut all = Vec::new();
    for (number, project) in scenario.projects().enumerate() {
        for (model, rate) in &project.group.others {
            let mut at = scenario.start as f64 + gap(*rate, &mut random);
            while at < scenario.end() as f64 && all.len() < MOST_REQUESTS {
                all.push(OthersCall { at: at as UnixMillis, project: number, model });
                at += gap(*rate, &mut random);
            }
        }
    }
    all.sort_by_key(|call| call.at);
    all
}

/// When a client sends.
fn moments(
    scenario: &Scenario,
    client: &Client,
    days: &Days,
    random: &mut Rng,
) -> Result<Vec<UnixMillis>, String> {
    if client.arrivals == Arrivals::Burst {
        let number = client.rate.unwrap_or_default() as usize;
        return Ok(vec![scenario.start; number.min(MOST_REQUESTS)]);
    }
    let rate = match (client.rate, client.load) {
        (Some(rate), _) => rate,
        (None, load) => {
            let capacity = capacity(scenario, client);
            if !capacity.is_finite() {
                return Err(format!(
                    "client {}: load is a share of the capacity, but nothing limits {}",
                    client.name, client.model
                ));
            }
            capacity * load.unwrap_or_default()
        }
    };
    let mut moments = Vec::new();
    if rate <= 0.0 {
        return Ok(moments);
    }
    let next = |random: &mut Rng| match client.arrivals {
        Arrivals::Even => MINUTE / rate,
        Arrivals::Poisson | Arrivals::Burst => gap(rate, random),
    };
    for (from, to) in active(scenario, client, days) {
        let mut at = from as f64 + next(random);
        while at < to as f64 {
            if moments.len() >= MOST_REQUESTS {
                return Err(format!("client {}: more than {MOST_REQUESTS} requests", client.name));
            }
            moments.push(at as UnixMillis);
            at += next(random);
        }
    }
    Ok(moments)
}

/// The stretches in which a client sends.
fn active(scenario: &Scenario, client: &Client, days: &Days) -> Vec<(UnixMillis, UnixMillis)> {
    let whole = (scenario.start, scenario.end());
    let Some([from, to]) = client.hours else { return vec![whole] };
    let hours = |hours: f64| (hours * 60.0 * MINUTE) as u64;
    (0..days.count())
        .map(|day| {
            let (start, end) = (days.start(day), days.end(day));
            ((start + hours(from)).max(whole.0), (start + hours(to)).min(end).min(whole.1))
        })
        .filter(|(from, to)| from < to)
        .collect()
}

/// What all projects together can serve of a client's model, in requests of its size a minute, over the hours of a
/// day in which it sends.
pub fn capacity(scenario: &Scenario, client: &Client) -> f64 {
    let tokens = (client.tokens[0] + client.tokens[1]) as f64 / 2.0;
    let minutes = match client.hours {
        Some([from, to]) => (to - from) * 60.0,
        None => (millis(scenario.duration) as f64 / MINUTE).min(1_440.0),
    };
    let able = scenario.projects().map(|project| project.group);
    let able = able.filter(|group| group.dead < group.keys && group.condition == Condition::Healthy);
    able.map(|group| {
        let limits = group.models.get(&client.model).copied().unwrap_or(group.limits);
        let number = |limit: Option<u64>| limit.map_or(f64::INFINITY, |limit| limit as f64);
        let others = group.others.get(&client.model).copied().unwrap_or_default();
        let a_minute =
            number(limits.requests_per_minute).min(number(limits.input_tokens_per_minute) / tokens);
        (a_minute - others).max(0.0).min(number(limits.requests_per_day) / minutes)
    })
    .sum()
}

/// Milliseconds to the next of events that come by chance, so many a minute.
fn gap(rate: f64, random: &mut Rng) -> f64 {
    if rate <= 0.0 {
        return f64::INFINITY;
    }
    -(1.0 - random.f64()).ln() / rate * MINUTE
}

/// The conversations that a client has open: number and turns so far.
#[derive(Default)]
struct Conversations {
    open: Vec<(u32, u32)>,
    begun: u32,
}

impl Conversations {
    fn next(&mut self, turns: usize, random: &mut Rng) -> (u32, u32) {
        let place = random.usize(..OPEN_CONVERSATIONS);
        if place >= self.open.len() || self.open[place].1 as usize >= turns {
            let fresh = (self.begun, 0);
            self.begun += 1;
            if place < self.open.len() {
                self.open[place] = fresh;
            } else {
                self.open.push(fresh);
            }
        }
        let place = place.min(self.open.len() - 1);
        let now = self.open[place];
        self.open[place].1 += 1;
        now
    }
}

/// The body of a request. The simulator counts four bytes a token. What a conversation began with comes again in
/// each of its requests, as chat clients do it; the rest of its size is its system instruction.
pub fn body(arrival: &Arrival) -> Bytes {
    let mut text = String::with_capacity(arrival.tokens as usize * 4 + 512);
    text.push_str("{\"systemInstruction\":{\"parts\":[{\"text\":\"");
    let filler = text.len();
    text.push_str("\"}]},\"contents\":[");
    let question = format!(
        "{{\"role\":\"user\",\"parts\":[{{\"text\":\"{{{{bytes=64}}}}{{{{chunks=2}}}} Conversation {} of client {}.",
        arrival.conversation, arrival.client
    );
    // Writing to a string cannot fail.
    let _ = write!(text, "{question}\"}}]}}");
    if arrival.turn > 0 {
        text.push_str(",{\"role\":\"model\",\"parts\":[{\"text\":\"Well.\"}]},");
        let _ = write!(text, "{question} Turn {}.\"}}]}}", arrival.turn);
    }
    text.push_str("]}");
    let wanted = usize::try_from(arrival.tokens).unwrap_or(usize::MAX).saturating_mul(4);
    let missing = wanted.saturating_sub(text.len());
    text.insert_str(filler, &" words".repeat(missing / 6 + 1)[..missing]);
    text.into()
}

/// The tokens that the simulator counts for a body.
pub fn tokens(body: &[u8]) -> u64 {
    body.len() as u64 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(clients: &str) -> Scenario {
        let text = format!(
            "name = \"x\"\nduration = \"2d\"\n[[projects]]\ncount = 2\nlimits = {{ requests_per_minute = 10, \
             input_tokens_per_minute = 4000, requests_per_day = 600 }}\n{clients}"
        );
        Scenario::from_toml(&text).expect("the scenario is good")
    }

    fn sent(clients: &str) -> Vec<Arrival> {
        let scenario = scenario(clients);
        let days = Days::between(scenario.start, scenario.end());
        arrivals(&scenario, &days, 7).expect("the load is limited")
    }

    #[test]
    fn load_is_a_share_of_the_capacity() {
        let check = |client: &str, expected: f64| {
            let scenario = scenario(&format!(
                "[[clients]]\nname = \"c\"\nmodel = \"gemini-2.5-flash\"\nload = 1.0\n{client}"
            ));
            let capacity = capacity(&scenario, &scenario.clients[0]);
            assert!((capacity - expected).abs() < 1e-9, "{client}: {capacity}");
        };
        // By the day: 600 requests of each project in 1,440 minutes.
        check("", 2.0 * 600.0 / 1_440.0);
        // By the minute's requests, as the day has room for an hour of them.
        check("hours = [9, 10]\ntokens = [40, 360]", 20.0);
        // By the minute's tokens: 4,000 of them are 5 requests of 800.
        check("hours = [9, 10]\ntokens = [600, 1000]", 10.0);
    }

    #[test]
    fn arrivals_keep_to_rate_and_hours() {
        let even = sent(
            "[[clients]]\nname = \"c\"\nmodel = \"gemini-2.5-flash\"\nrate = 2.0\narrivals = \"even\"\nhours = [9, 10]",
        );
        let days = Days::between(even[0].at, even[0].at + 86_400_000);
        assert_eq!(even.len(), 2 * 119);
        assert!(even.iter().all(|one| {
            let hour = (one.at - days.start(days.of(one.at))) / 3_600_000;
            hour == 9
        }));
        let poisson = sent("[[clients]]\nname = \"c\"\nmodel = \"gemini-2.5-flash\"\nrate = 2.0");
        assert!((5_500..6_000).contains(&poisson.len()), "{}", poisson.len());
        assert!(poisson.is_sorted_by_key(|one| one.at));
        assert_eq!(
            sent("[[clients]]\nname = \"c\"\nmodel = \"gemini-2.5-flash\"\nrate = 7.0\narrivals = \"burst\"")
                .len(),
            7
        );
        assert_eq!(poisson, sent("[[clients]]\nname = \"c\"\nmodel = \"gemini-2.5-flash\"\nrate = 2.0"));
    }

    #[test]
    fn a_client_does_not_change_another() {
        let one = "[[clients]]\nname = \"a\"\nmodel = \"gemini-2.5-flash\"\nrate = 1.0\n";
        let two = format!("{one}[[clients]]\nname = \"b\"\nmodel = \"gemini-2.5-flash\"\nrate = 1.0");
        let both: Vec<_> = sent(&two).into_iter().filter(|arrival| arrival.client == 0).collect();
        assert_eq!(sent(one), both);
    }

    #[test]
    fn bodies_have_their_size_and_conversations_their_beginning() {
        let arrival = Arrival { at: 0, client: 3, tokens: 500, stream: false, conversation: 9, turn: 0 };
        let check = |arrival: Arrival| {
            let body = body(&arrival);
            assert_eq!(tokens(&body), arrival.tokens);
            String::from_utf8(body.to_vec()).expect("bodies are text")
        };
        let first = check(arrival);
        let second = check(Arrival { turn: 2, ..arrival });
        assert!(first.contains("Conversation 9 of client 3.\"}]}]}"));
        assert!(second.contains("Conversation 9 of client 3.\"}]},{\"role\":\"model\""));
        let mut open = Conversations::default();
        let mut random = Rng::with_seed(1);
        let turns: Vec<_> = (0..1_000).map(|_| open.next(3, &mut random)).collect();
        assert!(turns.iter().all(|(_, turn)| *turn < 3));
        assert!(turns.iter().filter(|(_, turn)| *turn == 2).count() > 300);
    }
}
