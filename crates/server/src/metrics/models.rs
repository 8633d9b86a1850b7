//! Counters by model, for models that exist.
//!
//! Clients may ask for any name. One gets counters of its own once a key has answered for it, and while there are few;
//! until then it is counted as `other`.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use libra_core::event::{Operation, Usage};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::seconds;

/// Google serves some fifty models at a time. Each has some sixty series.
pub(crate) const MOST: usize = 100;

/// What models that are not known go by.
const OTHER: &str = "other";

/// What requests that concern no model go by.
const NONE: &str = "none";

/// The name of a model as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Model(Arc<str>);

impl Model {
    fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl EncodeLabelValue for Model {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(&self.0)
    }
}

/// The models that are known.
pub(crate) struct Models {
    known: RwLock<HashMap<Arc<str>, Arc<ByModel>>>,
    other: Arc<ByModel>,
    none: Arc<ByModel>,
    families: Families,
}

/// What is counted of one model.
pub(crate) struct ByModel {
    pub(crate) label: Model,
    /// Of answers that come in pieces.
    pub(crate) first_byte: Histogram,
    input: Counter,
    output: Counter,
    thoughts: Counter,
    cached: Counter,
    durations: [OnceLock<Histogram>; Operation::ALL.len()],
    of: Family<DurationLabels, Histogram, fn() -> Histogram>,
}

struct Families {
    first_byte: Family<ModelLabels, Histogram, fn() -> Histogram>,
    duration: Family<DurationLabels, Histogram, fn() -> Histogram>,
    tokens: Family<TokenLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: Model,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    model: Model,
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    model: Model,
    kind: &'static str,
}

impl Models {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Families {
            first_byte: Family::new_with_constructor(seconds as fn() -> Histogram),
            duration: Family::new_with_constructor(seconds as fn() -> Histogram),
            tokens: Family::default(),
        };
        registry.register_with_unit(
            "time_to_first_byte",
            "From a request's arrival to the first bytes of its answer, where that came in pieces and was complete",
            Unit::Seconds,
            families.first_byte.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From a request's arrival to the end of its answer, where that was complete",
            Unit::Seconds,
            families.duration.clone(),
        );
        registry.register(
            "tokens",
            "Tokens as Google counted them; cached ones are part of the input",
            families.tokens.clone(),
        );
        Self {
            known: RwLock::default(),
            other: Arc::new(families.of(OTHER)),
            none: Arc::new(families.of(NONE)),
            families,
        }
    }

    /// What is counted of a model; `answered`: it is one that exists.
    pub(crate) fn find(&self, name: Option<&str>, answered: bool) -> Arc<ByModel> {
        let Some(name) = name else { return Arc::clone(&self.none) };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(name) {
            return Arc::clone(known);
        }
        if !answered || known.len() >= MOST || [OTHER, NONE].contains(&name) {
            return Arc::clone(&self.other);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST && !known.contains_key(name) {
            return Arc::clone(&self.other);
        }
        let model = known.entry(name.into()).or_insert_with(|| Arc::new(self.families.of(name)));
        Arc::clone(model)
    }

    /// Whether a model goes by its name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }
}

impl Families {
    fn of(&self, name: &str) -> ByModel {
        let label = Model::new(name);
        let tokens = |kind| self.tokens.get_or_create_owned(&TokenLabels { model: label.clone(), kind });
        ByModel {
            first_byte: self.first_byte.get_or_create_owned(&ModelLabels { model: label.clone() }),
            input: tokens("input"),
            output: tokens("output"),
            thoughts: tokens("thoughts"),
            cached: tokens("cached"),
            durations: Default::default(),
            of: self.duration.clone(),
            label,
        }
    }
}

impl ByModel {
    pub(crate) fn duration(&self, operation: Operation) -> &Histogram {
        self.durations[operation as usize].get_or_init(|| {
            let labels = DurationLabels { model: self.label.clone(), operation: operation.name() };
            self.of.get_or_create_owned(&labels)
        })
    }

    pub(crate) fn count_tokens(&self, usage: Usage) {
        self.input.inc_by(usage.prompt);
        self.output.inc_by(usage.output);
        self.thoughts.inc_by(usage.thoughts);
        self.cached.inc_by(usage.cached);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_models_that_answer_are_named_and_not_without_end() {
        let models = Models::register(&mut Registry::default());
        let name = |name: &str, answered: bool| models.find(Some(name), answered).label.clone();
        assert_eq!(name("made-up", false), Model::new("other"));
        assert_eq!(name("gemini-2.5-flash", true), Model::new("gemini-2.5-flash"));
        assert_eq!(name("gemini-2.5-flash", false), Model::new("gemini-2.5-flash"));
        for number in 0..2 * MOST {
            name(&format!("tunedModels/{number}"), true);
        }
        assert_eq!(models.known.read().expect("no panic").len(), MOST);
        assert_eq!(name("one-more", true), Model::new("other"));
        assert!(models.knows("gemini-2.5-flash") && !models.knows("one-more"));
    }
}
