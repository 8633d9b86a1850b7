//! `interactions/*`: what a model or an agent was asked and said, kept so that the next one can go on from it.
//!
//! What is asked is put as a prompt is put, and answered as one. One in the background is under way for half a second of
//! the simulator's clock, and is seen to be.

mod prompt;
mod story;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::asked::{Asked, retry_after};
use crate::call::{Call, Operation, query};
use crate::clock::UnixMillis;
use crate::config::Tier;
use crate::errors::{Form, GoogleError};
use crate::fault::Fault;
use crate::json::{field, text};
use crate::models::Model;
use crate::objects::shelf::{Kept, Shelf, id_of};
use crate::objects::{Answered, Asking, operations};
use crate::plan::{Plan, Reply};
use crate::simulator::ProjectId;

/// How long they are kept, by tier.
const KEPT_FREE: UnixMillis = 86_400_000;
const KEPT_PAID: UnixMillis = 55 * 86_400_000;

/// A larger input is not kept to be shown again.
const MOST_INPUT: usize = 64 << 10;
/// What says more is not kept at all.
const MOST_SAID: usize = 256 << 10;

/// Agents that are there for everybody begin so.
const AGENTS: &[&str] = &["deep-research", "antigravity", "code-mender"];
/// What serves agents.
const AGENT_MODEL: &str = "gemini-3.8-flash";

/// The interactions that there are.
#[derive(Debug)]
pub(crate) struct Interactions {
    interactions: Shelf<Interaction>,
}

/// What was said.
#[derive(Debug)]
struct Interaction {
    /// As it is shown once it is done.
    shown: Value,
    input: Value,
    /// Ids and events, as a stream tells them.
    events: Vec<(String, Bytes)>,
    done_at: UnixMillis,
    is_cancelled: bool,
}

impl Default for Interactions {
    fn default() -> Self {
        Self { interactions: Shelf::new("interactions") }
    }
}

impl Interactions {
    fn of(&self, project: ProjectId, id: &str, now: UnixMillis) -> Result<&Kept<Interaction>, GoogleError> {
        self.interactions.find(project, id, now).ok_or_else(GoogleError::no_such_entity)
    }

    /// Google's have two ids of answers under their base64, and no project.
    fn id(&self) -> String {
        let said = self.interactions.id(23);
        let written = [b"\x0a\x17", said.as_bytes(), b"\x12\x17", said.as_bytes()].concat();
        format!("v1_{}", URL_SAFE_NO_PAD.encode(written))
    }
}

impl Interaction {
    fn show(&self, now: UnixMillis) -> Value {
        let mut shown = self.shown.clone();
        let status = match self.is_cancelled {
            true => "cancelled",
            false if now < self.done_at => "in_progress",
            false => return shown,
        };
        shown["status"] = json!(status);
        for name in ["steps", "usage"] {
            shown.as_object_mut().into_iter().for_each(|shown| drop(shown.shift_remove(name)));
        }
        shown
    }

    /// The events after the one with this id; all, where it is empty.
    fn events(&self, after: &str) -> Result<Vec<Bytes>, GoogleError> {
        let start = match after {
            "" => 0,
            after => match self.events.iter().position(|(id, _)| id == after) {
                Some(place) => place + 1,
                None => {
                    return Err(GoogleError::invalid("The last_event_id is not one of this interaction."));
                }
            },
        };
        let end = Bytes::from_static(b"event: done\ndata: [DONE]\n\n");
        Ok(self.events[start..].iter().map(|(_, event)| event.clone()).chain([end]).collect())
    }
}

/// Takes and answers an interaction: `{"model" | "agent", "input", "stream"?, "store"?, …}`.
pub(crate) fn create(asking: &Asking<'_>) -> Result<Plan, GoogleError> {
    let (project, now) = (asking.project, asking.now);
    let body = asking.json()?;
    let is = |name: &str| field(&body, name) == Some(&Value::Bool(true));
    let is_kept = field(&body, "store") != Some(&Value::Bool(false));
    let (asked_model, agent) = (text(&body, "model"), text(&body, "agent"));
    if asked_model.is_empty() == agent.is_empty() {
        return Err(GoogleError::invalid("Exactly one of 'model' and 'agent' has to be given."));
    }
    if is("background") && !is_kept {
        return Err(GoogleError::invalid("'background' needs 'store'."));
    }
    let name = if agent.is_empty() { asked_model } else { AGENT_MODEL };
    let name = name.strip_prefix("models/").unwrap_or(name);
    let model = Model::named(name).filter(|model| model.supports("generateContent"));
    let model =
        model.ok_or_else(|| GoogleError::no_such_model(name, asking.route.version, "createInteraction"))?;
    let form = if is("stream") { Form::Events } else { Form::Single };
    let operation = if is("stream") { Operation::Stream(form) } else { Operation::Generate };
    let call = Call { version: asking.route.version, model: model.id.to_owned(), operation };
    let caller = asking.caller;
    let asked = Asked { simulator: asking.simulator, request: asking.request, call: &call, caller, now };
    if let Some(plan) = caller.fault.and_then(|fault| asked.instead(fault, asked.minute_left())) {
        return plan;
    }
    let request = prompt::read(&body)?;
    let previous = text(&body, "previousInteractionId");
    let cached = asking.objects(|objects| {
        if !AGENTS.iter().any(|known| agent.starts_with(known)) && !agent.is_empty() {
            objects.resources.check("agents", agent, project, now)?;
        }
        for name in ["environment", "environmentId"] {
            objects.resources.check_environment(field(&body, name), project, now)?;
        }
        if !previous.is_empty() {
            objects.interactions.of(project, previous, now)?;
        }
        objects.check_references(&request, model.id, project, now)
    })?;
    let directives = asked.directives(&answer::last_user_text(&request))?;
    let asked_for = directives.fault.fault(|| caller.percent);
    if let Some(plan) = asked_for.and_then(|fault| asked.instead(fault, retry_after(&directives))) {
        return plan;
    }
    let mut answer = Answer::to(&request, model);
    answer.usage.cached = cached;
    if asked_for.is_none() {
        asked.take(model, answer.usage.prompt())?;
    }
    let fault = asked_for.or(caller.fault);
    if let Some(fault) = fault {
        answer.spoil(fault, form != Form::Single);
    }
    let tier = asking.simulator.project(project).map(|project| project.tier).unwrap_or_default();
    let until = now.saturating_add(if tier == Tier::Paid { KEPT_PAID } else { KEPT_FREE });
    let reply = asking.objects(|objects| {
        let id = objects.interactions.id();
        let shown = story::whole(&id, &body, &answer, model, now);
        let told = story::events(&shown, &answer);
        let events = told.into_iter().enumerate().map(|(number, event)| {
            let event_id = id_of(&(&id, number), 16);
            (event_id.clone(), story::event(event, &event_id))
        });
        let done_at = if is("background") { now.saturating_add(operations::USUAL) } else { now };
        let input = field(&body, "input").filter(|input| input.to_string().len() <= MOST_INPUT);
        let interaction = Interaction {
            shown,
            input: input.cloned().unwrap_or_default(),
            events: events.collect(),
            done_at,
            is_cancelled: false,
        };
        let is_small = interaction.shown.to_string().len() <= MOST_SAID;
        let reply = match form {
            Form::Single => Reply::object(&interaction.show(now)),
            Form::Events | Form::Array => {
                let mut events = interaction.events("")?;
                match fault {
                    Some(Fault::FirstEventError) => events = vec![story::error()],
                    Some(Fault::EventError) => {
                        events.truncate(events.len() / 2);
                        events.push(story::error());
                    }
                    _ => {}
                }
                Reply::good(Form::Events, events.into())
            }
        };
        if is_kept && is_small {
            objects.interactions.interactions.put(id, project, now, Some(until), interaction);
        }
        Ok(reply)
    })?;
    // An error among events has been told in its own way.
    let fault = fault.filter(|fault| !matches!(fault, Fault::FirstEventError | Fault::EventError));
    Ok(asked.finish(reply, &directives, fault))
}

/// Answers what is asked of interactions that there are.
pub(crate) fn answer(asking: &Asking<'_>) -> Answered {
    let (project, now) = (asking.project, asking.now);
    let parts = asking.route.parts();
    let asks = |name: &str| query(asking.request.uri(), name).is_some_and(|value| value == "true");
    let last = query(asking.request.uri(), "last_event_id").unwrap_or_default();
    asking.objects(|objects| {
        let interactions = &mut objects.interactions;
        let shown = match (asking.method(), parts.as_slice(), asking.route.verb) {
            (&Method::GET, [_, id], "") => {
                let interaction = &interactions.of(project, id, now)?.it;
                if asks("stream") {
                    return Ok(Some(Reply::good(Form::Events, interaction.events(&last)?.into())));
                }
                let mut shown = interaction.show(now);
                if asks("include_input") {
                    shown["input"] = interaction.input.clone();
                }
                shown
            }
            (&Method::POST, [_, id, "cancel"], "") => {
                interactions.of(project, id, now)?;
                let found = interactions.interactions.find_mut(project, id, now);
                let interaction = &mut found.ok_or_else(GoogleError::no_such_entity)?.it;
                if now >= interaction.done_at && !interaction.is_cancelled {
                    return Err(GoogleError::invalid("An interaction that is over cannot be cancelled."));
                }
                interaction.is_cancelled = true;
                interaction.show(now)
            }
            (&Method::DELETE, [_, id], "") => {
                interactions.of(project, id, now)?;
                interactions.interactions.remove(project, id, now);
                json!({})
            }
            _ => return Ok(None),
        };
        Ok(Some(Reply::object(&shown)))
    })
}
