//! Items as the messages of a chat.
//!
//! A call is a message of the model's with one call in it, its result a message of the tool's; chat completions
//! already join the model's messages and pair calls with results. Signatures go to where they belong: a reasoning
//! item says which call or text that is.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::carrier::{self, Signed};
use super::input::Item;
use super::item::{Call, CallInput, Said};
use super::tools;
use crate::error::{Error, Kind};
use crate::openai::chat::message::{
    CalledCustom, CalledFunction, Content, ExtraContent, Message, Role, ToolCall,
};

/// A conversation in messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) messages: Vec<Message>,
    /// By message, which item of `input` it was read from.
    pub(super) origins: Vec<Option<usize>>,
    /// Tools that came with the items.
    pub(super) tools: Vec<Box<RawValue>>,
    /// Whether the last thing said was the model's words, to be signed.
    signable: bool,
    /// The signature of the text that comes next.
    next: Option<String>,
    /// The signatures of calls: those that the reasoning just before has named, and all others, as a client may
    /// have changed the order.
    near: HashMap<String, String>,
    anywhere: HashMap<String, String>,
}

impl Messages {
    /// Reads the items: those from `before` the request, then its own.
    pub(super) fn of(before: &[&Item], own: &[Item]) -> Result<Self, Error> {
        let before = before.iter().map(|item| (None, *item));
        let items: Vec<_> =
            before.chain(own.iter().enumerate().map(|(index, item)| (Some(index), item))).collect();
        let mut said = Vec::with_capacity(items.len());
        let mut this = Self::default();
        for (origin, item) in &items {
            let place =
                origin.map_or_else(|| "previous_response_id".to_owned(), |index| format!("input[{index}]"));
            let read = Said::read(&item.json, &place)?;
            if let Said::Sealed(sealed) = &read
                && let Some((Signed::Call(id), signature)) = carrier::open(sealed)
            {
                this.anywhere.entry(id.to_owned()).or_insert_with(|| signature.to_owned());
            }
            said.push((*origin, read));
        }
        for (origin, said) in said {
            this.add(origin, said)?;
        }
        Ok(this)
    }

    fn add(&mut self, origin: Option<usize>, said: Said) -> Result<(), Error> {
        match said {
            Said::Message { role, content, signature } => {
                let mut message = Message { content, ..Message::of(role) };
                let signature = signature.or_else(|| self.next.take());
                if let (Role::Assistant, Some(signature)) = (role, signature) {
                    message.extra_content = ExtraContent::signed(signature);
                }
                self.push(origin, message);
            }
            Said::Call(call) => self.call(origin, call),
            Said::Answered(call, content) => {
                let call_id = call.id.clone();
                self.call(origin, call);
                self.result(origin, call_id, content);
            }
            Said::Result { call_id, content } => self.result(origin, call_id, content),
            Said::Sealed(sealed) => match carrier::open(&sealed) {
                Some((Signed::Call(id), signature)) => {
                    self.near.insert(id.to_owned(), signature.to_owned());
                }
                Some((Signed::Next, signature)) => self.next = Some(signature.to_owned()),
                Some((Signed::Last, signature)) if self.signable => {
                    if let Some(last) = self.messages.last_mut() {
                        last.extra_content = ExtraContent::signed(signature.to_owned());
                    }
                }
                Some(_) | None => {}
            },
            Said::Tools(mut tools) => self.tools.append(&mut tools),
            // What is referred to has been put in its place before; what is left is nowhere.
            Said::Reference(id) => {
                let id: String = id.chars().filter(|char| !char.is_control()).take(100).collect();
                let param = origin.map_or_else(|| "input".to_owned(), |index| format!("input[{index}].id"));
                let message =
                    format!("Item with id '{id}' not found. Items are not kept where `store` is false.");
                return Err(Error { param: Some(param), ..Error::new(Kind::BadRequest, message) });
            }
            Said::Nothing => {}
        }
        Ok(())
    }

    fn call(&mut self, origin: Option<usize>, call: Call) {
        let Call { id, name, namespace, input } = call;
        let name = tools::flat_name(namespace.as_deref(), &name);
        let (function, custom) = match input {
            CallInput::Arguments(arguments) => (Some(CalledFunction { name, arguments }), None),
            CallInput::Text(input) => (None, Some(CalledCustom { name, input })),
        };
        let signature = self.near.remove(&id).or_else(|| self.anywhere.get(&id).cloned());
        let extra_content = signature.map(ExtraContent::signed).unwrap_or_default();
        let call = ToolCall { id: Some(id), function, custom, extra_content };
        self.push(origin, Message { tool_calls: Some(vec![call]), ..Message::of(Role::Assistant) });
        self.signable = false;
    }

    fn result(&mut self, origin: Option<usize>, call_id: String, content: Content) {
        self.push(origin, Message { content, tool_call_id: Some(call_id), ..Message::of(Role::Tool) });
    }

    fn push(&mut self, origin: Option<usize>, message: Message) {
        self.next = None;
        self.signable = message.role == Role::Assistant;
        self.messages.push(message);
        self.origins.push(origin);
    }
}
