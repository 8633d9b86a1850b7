//! The pool as it is when somebody asks.

use std::fmt;

use libra_core::pool::{Measure, Quota, Room};
use prometheus_client::encoding::DescriptorEncoder;

use super::page::{gauge, gauges};
use super::reason;

/// So many projects are told by name, the first of the pool's order: those that the settings name, mostly.
pub(super) const PROJECTS: usize = 100;

/// So many pairs of project and model are told by name, nine series each.
pub(super) const ROOMS: usize = 1000;

/// What the rest goes by.
const OTHER: &str = "other";

/// Writes what was measured. `name` is what a model goes by.
pub(super) fn encode(
    measure: &Measure,
    name: &dyn Fn(&str) -> bool,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let keys = measure.keys.map(|keys| [("usable", keys.usable), ("set_aside", keys.set_aside)]);
    gauges(
        encoder,
        "keys",
        "Keys of the pool by whether they are used",
        keys.into_iter().flatten().map(|(state, count)| ([("state", state)], count as f64)),
    )?;
    let aside = measure.set_aside.iter().map(|(why, count)| ([("reason", reason(*why))], *count as f64));
    gauges(encoder, "keys_set_aside", "Keys that are set aside, by reason", aside)?;
    let resting = measure.resting_projects;
    let projects = [("resting", resting), ("in_use", measure.projects.saturating_sub(resting))];
    gauges(
        encoder,
        "projects",
        "Projects by whether they rest as a whole",
        projects.into_iter().map(|(state, count)| ([("state", state)], count as f64)),
    )?;
    let queued = measure.queued as f64;
    gauge(encoder, "queue_length", "Requests that wait for a project to have room", queued)?;
    let network = measure.incidents.iter().filter(|incident| incident.model.is_none()).count();
    let models = measure.incidents.iter().filter_map(|incident| incident.model.as_deref());
    let (known, other): (Vec<_>, Vec<_>) = models.partition(|model| name(model));
    let mut incidents = vec![([("level", "egress"), ("model", "")], network as f64)];
    incidents.extend(known.into_iter().map(|model| ([("level", "model"), ("model", model)], 1.0)));
    incidents.push(([("level", "model"), ("model", OTHER)], other.len() as f64));
    gauges(
        encoder,
        "incidents",
        "What is paused because many projects failed alike: the way to Google, or models",
        incidents.into_iter(),
    )?;
    rooms(&measure.rooms, encoder)
}

fn rooms(rooms: &[Room], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    type Of = fn(&Room) -> Option<Quota>;
    let requests: [(&str, Of); 2] =
        [("minute", |room| room.requests_per_minute), ("day", |room| room.requests_per_day)];
    let tokens: [(&str, Of); 2] =
        [("minute", |room| room.tokens_per_minute), ("day", |room| room.tokens_per_day)];
    let mut tell = |name: &str, help: &str, quotas: [(&'static str, Of); 2], of: fn(Quota) -> u64| {
        let series = rooms.iter().flat_map(|room| {
            quotas.into_iter().filter_map(move |(window, quota)| {
                let [project, model] = labels(room);
                let labels = [("project", project), ("model", model), ("window", window)];
                Some((labels, of(quota(room)?) as f64))
            })
        });
        gauges(encoder, name, help, series)
    };
    tell(
        "project_requests_left",
        "Requests that a project has left for a model, where limits are known",
        requests,
        |quota| quota.left,
    )?;
    tell("project_requests_limit", "How many there are", requests, |quota| quota.limit)?;
    tell(
        "project_tokens_left",
        "Tokens that a project has left for a model, where limits are known",
        tokens,
        |quota| quota.left,
    )?;
    tell("project_tokens_limit", "How many there are", tokens, |quota| quota.limit)?;
    let resting = rooms.iter().map(|room| {
        let [project, model] = labels(room);
        ([("project", project), ("model", model)], room.resting as f64)
    });
    gauges(encoder, "project_models_resting", "Projects that rest with a model", resting)
}

fn labels(room: &Room) -> [&str; 2] {
    // Whoever calls a project so does not make two series of one name.
    let project = room.project.as_deref().map(|name| if name == OTHER { "other (project)" } else { name });
    [project, room.model.as_deref()].map(|name| name.unwrap_or(OTHER))
}
