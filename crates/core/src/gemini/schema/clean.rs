//! A schema as Gemini takes it in `parametersJsonSchema` and `responseJsonSchema`.
//!
//! Whatever the client's schema accepts, the cleaned one accepts: local references are inlined, and cut where they
//! come round; what several schemas demand together (`allOf`, what stands beside a `$ref`) is merged; `oneOf` is read
//! as `anyOf`, as Gemini does; what Gemini cannot be held to goes, and is said in the description. A *property* that
//! is called like a keyword is a property, and is left alone.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use crate::gemini::entries::Entries;

/// Schemas nested deeper accept everything. Google's own bound on nesting is far below.
const DEEPEST: usize = 64;

/// So many schemas come out of one at most: references that name references can stand for millions.
const MOST_SCHEMAS: usize = 5_000;

/// A keyword that cannot be kept is said in at most so many bytes.
const LONGEST_HINT: usize = 200;

/// Keywords that stay as they are. Everything that is not named in this file goes.
const PLAIN: [&str; 14] = [
    "format",
    "title",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "propertyOrdering",
    "default",
    "example",
];

/// Keywords that Gemini is not held to, and that the description tells of.
const HINTED: [&str; 15] = [
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "contains",
    "minContains",
    "maxContains",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "multipleOf",
    "uniqueItems",
    "examples",
];

/// A cleaned schema.
#[derive(Debug, Clone, Default)]
pub(super) struct Node<'a> {
    /// What may come; everything where there are none.
    pub(super) types: Vec<Type>,
    pub(super) description: Option<Cow<'a, str>>,
    pub(super) hints: Vec<String>,
    /// `enum`: strings or numbers.
    pub(super) values: Vec<&'a RawValue>,
    pub(super) properties: Option<Vec<(Cow<'a, str>, Self)>>,
    pub(super) required: Vec<Cow<'a, str>>,
    pub(super) additional: Option<Additional<'a>>,
    pub(super) items: Option<Box<Self>>,
    pub(super) prefix_items: Vec<Self>,
    pub(super) any_of: Vec<Self>,
    pub(super) plain: Vec<(&'static str, &'a RawValue)>,
}

/// `additionalProperties`, where it forbids something.
#[derive(Debug, Clone)]
pub(super) enum Additional<'a> {
    None,
    Like(Box<Node<'a>>),
}

/// `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Object,
    Array,
    String,
    Number,
    Integer,
    Boolean,
    Null,
}

impl Type {
    fn read(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "number" => Self::Number,
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            "null" => Self::Null,
            _ => return None,
        })
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Null => "null",
        }
    }
}

/// Cleans one schema.
struct Cleaner<'a> {
    root: &'a RawValue,
    /// Before 2019 nothing beside a `$ref` counted, and there was no `prefixItems`.
    is_old: bool,
    /// The references that are being followed.
    following: Vec<String>,
    left: usize,
}

impl<'a> Node<'a> {
    /// Cleans a client's schema.
    pub(super) fn of(raw: &'a RawValue) -> Self {
        let dialect = Entries::of(raw).and_then(|entries| text(entries.get("$schema")?));
        let is_old = dialect.is_some_and(|dialect| {
            ["draft-04", "draft-06", "draft-07"].iter().any(|old| dialect.contains(old))
        });
        let mut cleaner = Cleaner { root: raw, is_old, following: Vec::new(), left: MOST_SCHEMAS };
        // A reference to the whole comes round, too.
        cleaner.following.push("#".to_owned());
        let mut node = cleaner.clean(raw, 0);
        node.settle();
        node
    }

    /// Takes a keyword out, wherever it stands.
    pub(super) fn remove(&mut self, keyword: &str) {
        match keyword {
            "type" => self.types.clear(),
            "description" => self.description = None,
            "enum" => self.values.clear(),
            "required" => self.required.clear(),
            "additionalProperties" => self.additional = None,
            "anyOf" => self.any_of.clear(),
            "prefixItems" => self.prefix_items.clear(),
            _ => self.plain.retain(|(name, _)| *name != keyword),
        }
        self.children().for_each(|child| child.remove(keyword));
    }

    fn children(&mut self) -> impl Iterator<Item = &mut Self> {
        let properties = self.properties.iter_mut().flatten().map(|(_, node)| node);
        let additional = match &mut self.additional {
            Some(Additional::Like(node)) => Some(node.as_mut()),
            Some(Additional::None) | None => None,
        };
        let lists = self.prefix_items.iter_mut().chain(&mut self.any_of);
        properties.chain(additional).chain(self.items.as_deref_mut()).chain(lists)
    }

    /// What can be said only once everything is merged.
    fn settle(&mut self) {
        if let Some(properties) = &self.properties {
            self.required.retain(|name| properties.iter().any(|(known, _)| known == name));
        } else {
            self.required.clear();
        }
        if self.types.contains(&Type::Array) && self.items.is_none() && self.prefix_items.is_empty() {
            self.items = Some(Box::default());
        }
        self.plain.sort_by_key(|(name, _)| PLAIN.iter().position(|plain| plain == name));
        self.children().for_each(Self::settle);
    }

    /// What satisfies both schemas satisfies the merged one. Where two demands cannot be said together, the first
    /// one stays.
    fn merge(&mut self, other: Self) {
        if self.types.is_empty() {
            self.types = other.types;
        } else if !other.types.is_empty() {
            let mut both = Vec::new();
            for kind in self.types.iter().filter_map(|kind| narrower(*kind, &other.types)) {
                if !both.contains(&kind) {
                    both.push(kind);
                }
            }
            if !both.is_empty() {
                self.types = both;
            }
        }
        self.description = self.description.take().or(other.description);
        for hint in other.hints {
            if !self.hints.contains(&hint) {
                self.hints.push(hint);
            }
        }
        if self.values.is_empty() {
            self.values = other.values;
        }
        match (&mut self.properties, other.properties) {
            (Some(properties), Some(others)) => {
                for (name, node) in others {
                    match properties.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => known.merge(node),
                        None => properties.push((name, node)),
                    }
                }
            }
            (properties, others) => *properties = properties.take().or(others),
        }
        for name in other.required {
            if !self.required.contains(&name) {
                self.required.push(name);
            }
        }
        self.additional = self.additional.take().or(other.additional);
        if self.prefix_items.is_empty() || other.prefix_items.is_empty() {
            if self.prefix_items.is_empty() {
                self.prefix_items = other.prefix_items;
            }
            match (&mut self.items, other.items) {
                (Some(items), Some(others)) => items.merge(*others),
                (items, others) => *items = items.take().or(others),
            }
        }
        if self.any_of.is_empty() {
            self.any_of = other.any_of;
        }
        for (name, value) in other.plain {
            if !self.plain.iter().any(|(known, _)| *known == name) {
                self.plain.push((name, value));
            }
        }
    }

    /// The description, with what is not held to.
    pub(super) fn words(&self, more: Option<String>) -> Option<String> {
        let hints: Vec<String> = self.hints.iter().cloned().chain(more).collect();
        let hints = (!hints.is_empty()).then(|| format!("({})", hints.join("; ")));
        match (&self.description, hints) {
            (Some(description), Some(hints)) => Some(format!("{description} {hints}")),
            (Some(description), None) => Some(description.clone().into_owned()),
            (None, hints) => hints,
        }
    }

    /// Tells of a keyword that goes.
    fn hint(&mut self, keyword: &str, value: &str) {
        let value: String = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if value.len() <= LONGEST_HINT {
            self.hints.push(format!("{keyword}: {value}"));
        }
    }
}

/// The narrower of a type and its like among others.
fn narrower(kind: Type, others: &[Type]) -> Option<Type> {
    if others.contains(&kind) {
        return Some(kind);
    }
    let numbers = [Type::Number, Type::Integer];
    (numbers.contains(&kind) && others.iter().any(|other| numbers.contains(other))).then_some(Type::Integer)
}

impl<'a> Cleaner<'a> {
    fn clean(&mut self, raw: &'a RawValue, depth: usize) -> Node<'a> {
        let Some(entries) = Entries::of(raw).filter(|_| depth < DEEPEST && self.left > 0) else {
            // `true` and `false` are schemas too; Gemini knows only objects.
            return Node::default();
        };
        self.left -= 1;
        let mut node = Node::default();
        let reference = entries.get("$ref").and_then(text);
        for (key, value) in &entries.0 {
            let is_annotation = matches!(key.as_ref(), "title" | "description" | "default");
            if reference.is_none() || !self.is_old || is_annotation {
                self.keyword(&mut node, key, value, depth);
            }
        }
        self.bounds(&mut node, &entries, depth);
        self.values(&mut node, &entries);
        if let Some(reference) = reference {
            let target = self.follow(&reference, depth);
            node.merge(target);
            if self.is_old {
                return node;
            }
        }
        for part in entries.list(&["allOf", "allOf"]) {
            let part = self.clean(part, depth + 1);
            node.merge(part);
        }
        for list in ["anyOf", "oneOf"] {
            let mut any_of: Vec<_> =
                entries.list(&[list, list]).into_iter().map(|part| self.clean(part, depth + 1)).collect();
            match any_of.len() {
                0 => {}
                1 => node.merge(any_of.remove(0)),
                _ if node.any_of.is_empty() => node.any_of = any_of,
                // Two lists cannot be said together.
                _ => {}
            }
        }
        node
    }

    fn keyword(&mut self, node: &mut Node<'a>, key: &str, value: &'a RawValue, depth: usize) {
        match key {
            "type" => {
                let one = text(value).map(|word| vec![word]);
                let words: Vec<Cow<'_, str>> =
                    one.or_else(|| serde_json::from_str(value.get()).ok()).unwrap_or_default();
                for kind in words.iter().filter_map(|word| Type::read(word)) {
                    if !node.types.contains(&kind) {
                        node.types.push(kind);
                    }
                }
            }
            "description" => node.description = text(value),
            "properties" => {
                let properties = Entries::of(value).unwrap_or_default().0.into_iter();
                let properties = properties.map(|(name, schema)| (name, self.clean(schema, depth + 1)));
                node.properties = Some(properties.collect());
            }
            "required" => node.required = serde_json::from_str(value.get()).unwrap_or_default(),
            "items" if value.get().starts_with('{') => {
                node.items = Some(Box::new(self.clean(value, depth + 1)));
            }
            "items" | "prefixItems" if value.get().starts_with('[') && (key == "items" || !self.is_old) => {
                let parts: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
                node.prefix_items = parts.into_iter().map(|part| self.clean(part, depth + 1)).collect();
            }
            _ => {
                if let Some(plain) = PLAIN.iter().find(|plain| **plain == key) {
                    node.plain.push((plain, value));
                } else if HINTED.contains(&key) {
                    node.hint(key, value.get());
                }
            }
        }
    }

    /// What depends on what stands beside it.
    fn bounds(&mut self, node: &mut Node<'a>, entries: &Entries<'a>, depth: usize) {
        for (exclusive, plain) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
            let bound =
                entries.get(exclusive).filter(|bound| serde_json::from_str::<f64>(bound.get()).is_ok());
            if let Some(bound) = bound.filter(|_| entries.get(plain).is_none()) {
                node.plain.push((plain, bound));
            }
        }
        let is_tuple = entries.get("items").is_some_and(|items| items.get().starts_with('['));
        if let Some(more) =
            entries.get("additionalItems").filter(|more| is_tuple && more.get().starts_with('{'))
        {
            node.items = Some(Box::new(self.clean(more, depth + 1)));
        }
        // What patterns allow cannot be told from what nothing allows.
        if entries.get("patternProperties").is_none() {
            node.additional = match entries.get("additionalProperties") {
                Some(forbidden) if forbidden.get() == "false" => Some(Additional::None),
                Some(like) if like.get().starts_with('{') => {
                    Some(Additional::Like(Box::new(self.clean(like, depth + 1))))
                }
                Some(_) | None => None,
            };
        }
        if entries.get("nullable").is_some_and(|nullable| nullable.get() == "true")
            && !node.types.is_empty()
            && !node.types.contains(&Type::Null)
        {
            node.types.push(Type::Null);
        }
    }

    /// `enum` and `const`. Gemini takes strings and numbers.
    fn values(&mut self, node: &mut Node<'a>, entries: &Entries<'a>) {
        let mut values = match (entries.get("const"), entries.get("enum")) {
            (Some(only), _) => vec![only],
            (None, Some(list)) => serde_json::from_str(list.get()).unwrap_or_default(),
            (None, None) => return,
        };
        let all = values.len();
        values.retain(|value| value.get() != "null");
        let takes_null = (values.len() < all || entries.get("nullable").is_some_and(|it| it.get() == "true"))
            && (node.types.is_empty() || node.types.contains(&Type::Null));
        let all_begin = |with: fn(char) -> bool| values.iter().all(|value| value.get().starts_with(with));
        let kind = match () {
            () if values.is_empty() => {
                if all > 0 {
                    node.types = vec![Type::Null];
                }
                return;
            }
            () if all_begin(|first| first == '"') => Some(Type::String),
            () if all_begin(|first| first == '-' || first.is_ascii_digit()) => Some(Type::Number),
            () if all_begin(|first| first == 't' || first == 'f') => Some(Type::Boolean),
            () => None,
        };
        let types: Vec<Type> =
            match (node.types.iter().copied().filter(|kind| *kind != Type::Null).collect(), kind) {
                (types, Some(kind)) if Vec::<Type>::is_empty(&types) => vec![kind],
                (types, _) => types,
            };
        let is_listed = matches!(kind, Some(Type::String | Type::Number));
        if !is_listed {
            let list: Vec<&str> = values.iter().map(|value| value.get()).collect();
            node.hint("one of", &format!("[{}]", list.join(",")));
            node.types = types;
            if takes_null && !node.types.is_empty() {
                node.types.push(Type::Null);
            }
        } else if takes_null {
            node.types.clear();
            let listed = Node { types, values, ..Node::default() };
            node.any_of = vec![listed, Node { types: vec![Type::Null], ..Node::default() }];
        } else {
            node.types = types;
            node.values = values;
        }
    }

    /// What a reference stands for; everything where it leads nowhere, and only the type where it comes round.
    fn follow(&mut self, reference: &str, depth: usize) -> Node<'a> {
        let Some(target) = reference.strip_prefix('#').and_then(|pointer| self.find(pointer)) else {
            return Node::default();
        };
        if self.following.iter().any(|followed| followed == reference) {
            let types = Entries::of(target).and_then(|entries| entries.get("type"));
            let mut node = Node::default();
            if let Some(types) = types {
                self.keyword(&mut node, "type", types, depth);
            }
            return node;
        }
        self.following.push(reference.to_owned());
        let node = self.clean(target, depth + 1);
        self.following.pop();
        node
    }

    /// What stands at a JSON pointer, which may be written as in an address.
    fn find(&self, pointer: &str) -> Option<&'a RawValue> {
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?;
        if pointer.is_empty() {
            return Some(self.root);
        }
        let mut place = self.root;
        for step in pointer.strip_prefix('/')?.split('/') {
            let step = step.replace("~1", "/").replace("~0", "~");
            place = match Entries::of(place) {
                Some(entries) => entries.get(&step)?,
                None => {
                    let list: Vec<&'a RawValue> = serde_json::from_str(place.get()).ok()?;
                    list.get(step.parse::<usize>().ok()?)?
                }
            };
        }
        Some(place)
    }
}

fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|Text(text)| text)
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.types.as_slice() {
            [] => {}
            [kind] => map.serialize_entry("type", kind.as_str())?,
            kinds => {
                let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
                map.serialize_entry("type", &kinds)?;
            }
        }
        let (before, after): (Vec<_>, Vec<_>) =
            self.plain.iter().partition(|(name, _)| matches!(*name, "format" | "title"));
        for (name, value) in before {
            map.serialize_entry(name, value)?;
        }
        if let Some(words) = self.words(None) {
            map.serialize_entry("description", &words)?;
        }
        if !self.values.is_empty() {
            map.serialize_entry("enum", &self.values)?;
        }
        for (name, value) in after {
            map.serialize_entry(name, value)?;
        }
        if let Some(properties) = &self.properties {
            map.serialize_entry("properties", &Named(properties))?;
        }
        if !self.required.is_empty() {
            map.serialize_entry("required", &self.required)?;
        }
        match &self.additional {
            Some(Additional::None) => map.serialize_entry("additionalProperties", &false)?,
            Some(Additional::Like(node)) => map.serialize_entry("additionalProperties", node)?,
            None => {}
        }
        if let Some(items) = &self.items {
            map.serialize_entry("items", items)?;
        }
        if !self.prefix_items.is_empty() {
            map.serialize_entry("prefixItems", &self.prefix_items)?;
        }
        if !self.any_of.is_empty() {
            map.serialize_entry("anyOf", &self.any_of)?;
        }
        map.end()
    }
}

/// An object whose entries stay in their order.
pub(super) struct Named<'n, T>(pub(super) &'n [(Cow<'n, str>, T)]);

impl<T: Serialize> Serialize for Named<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, node)| (name, node)))
    }
}
