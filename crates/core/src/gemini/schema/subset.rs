//! A schema as `parameters` and `responseSchema` take it: a subset of OpenAPI's.
//!
//! It knows one type for each schema (`STRING`, …) and `nullable` beside it, enumerations of strings, two formats of
//! strings, and no tuples, constants, or rules for properties that are not named. What it cannot say is told in the
//! description.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::clean::{Named, Node, Type};

/// What the subset says of a cleaned schema.
#[derive(Debug, Default, Serialize)]
pub(super) struct OpenApi<'n> {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(flatten)]
    plain: Plain<'n>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    nullable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    values: Vec<Cow<'n, str>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "named")]
    properties: Option<Vec<(Cow<'n, str>, Self)>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    required: &'n [Cow<'n, str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Box<Self>>,
    #[serde(rename = "anyOf", skip_serializing_if = "Vec::is_empty")]
    any_of: Vec<Self>,
}

/// Keywords that the subset has, too.
#[derive(Debug, Default)]
struct Plain<'n>(Vec<(&'static str, &'n RawValue)>);

impl Serialize for Plain<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

fn named<S: serde::Serializer>(
    properties: &Option<Vec<(Cow<'_, str>, OpenApi<'_>)>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    Named(properties.as_deref().unwrap_or_default()).serialize(serializer)
}

impl<'n> OpenApi<'n> {
    pub(super) fn of(node: &'n Node<'n>) -> Self {
        let mut nullable = node.types.contains(&Type::Null);
        let mut any_of: Vec<&Node<'_>> = node.any_of.iter().collect();
        let before = any_of.len();
        any_of.retain(|part| part.types != [Type::Null]);
        nullable = nullable || any_of.len() < before;
        if let ([only], true) = (any_of.as_slice(), node.types.is_empty()) {
            let mut single = Self::of(only);
            single.nullable = single.nullable || nullable;
            single.description = node.words(None).or(single.description);
            return single;
        }
        let types: Vec<Type> = node.types.iter().copied().filter(|kind| *kind != Type::Null).collect();
        let mut subset = Self { nullable, ..Self::default() };
        subset.any_of = any_of.into_iter().map(Self::of).collect();
        let kind = match types.as_slice() {
            [kind] => Some(*kind),
            [] if node.properties.is_some() => Some(Type::Object),
            [] if node.items.is_some() || !node.prefix_items.is_empty() => Some(Type::Array),
            [] if subset.any_of.is_empty() => Some(Type::String),
            [] => None,
            several => {
                if subset.any_of.is_empty() {
                    let one = |kind: &Type| Self { r#type: Some(upper(*kind)), ..Self::default() };
                    subset.any_of = several.iter().map(one).collect();
                }
                None
            }
        };
        let format = node.plain.iter().find(|(name, _)| *name == "format").map(|(_, value)| value.get());
        let known = matches!(
            (kind, format),
            (Some(Type::String), Some(r#""date-time""# | r#""enum""#))
                | (
                    Some(Type::Number | Type::Integer),
                    Some(r#""float""# | r#""double""# | r#""int32""# | r#""int64""#)
                )
        );
        let told = format.filter(|_| !known).map(|format| format!("format: {format}"));
        let plain = node.plain.iter().filter(|(name, _)| known || *name != "format");
        subset.plain = Plain(plain.copied().collect());
        subset.description = node.words(told);
        // Enumerations are of strings.
        subset.values = node
            .values
            .iter()
            .map(|value| {
                serde_json::from_str(value.get()).map_or_else(|_| Cow::Borrowed(value.get()), Cow::Owned)
            })
            .collect();
        let kind = if subset.values.is_empty() { kind } else { Some(Type::String) };
        subset.r#type = kind.map(upper);
        subset.properties = node.properties.as_ref().map(|properties| {
            properties.iter().map(|(name, node)| (Cow::Borrowed(name.as_ref()), Self::of(node))).collect()
        });
        // An object without properties is refused where it lists them.
        subset.properties = subset.properties.filter(|properties| !properties.is_empty());
        subset.required = &node.required;
        subset.items = match (&node.items, node.prefix_items.first()) {
            (Some(items), None) => Some(Box::new(Self::of(items))),
            (_, Some(first)) => Some(Box::new(Self::of(first))),
            (None, None) if kind == Some(Type::Array) => {
                Some(Box::new(Self { r#type: Some(upper(Type::String)), ..Self::default() }))
            }
            (None, None) => None,
        };
        subset
    }
}

fn upper(kind: Type) -> String {
    kind.as_str().to_ascii_uppercase()
}
