//! Reads `libra.toml` into variables, so that every rule about a value is the variables' own.
//!
//! Errors name the setting or the line and never show a value.

use libra_core::config::{VARIABLES, quoted};
use toml::{Table, Value};

/// The variables that a file sets.
///
/// # Errors
/// A file that is no TOML, an unknown setting, a value of a kind that the setting cannot have.
pub(super) fn parse(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        format!("line {} is not valid TOML{}", line_at(text, at), reason(error.message()))
    })?;
    let mut variables = Vec::new();
    for (key, value) in &table {
        match (key.as_str(), value) {
            ("custom_llm", Value::Table(service)) => {
                for (key, value) in service {
                    let name = format!("custom_llm.{key}");
                    variables.push((variable(&format!("custom_llm_{key}"), &name)?, text_of(&name, value)?));
                }
            }
            ("model_aliases" | "model_fallbacks", Value::Table(aliases)) => {
                variables.push((variable(key, key)?, aliases_of(key, aliases)?));
            }
            ("projects" | "prices", Value::Table(_) | Value::Array(_)) => {
                variables.push((variable(key, key)?, json_of(key, value)?.to_string()));
            }
            ("keys", Value::Array(keys)) if keys.iter().any(Value::is_table) => {
                variables.push(("LIBRA_KEYS", json_of(key, value)?.to_string()));
            }
            ("clients", Value::Array(clients)) if clients.iter().any(Value::is_table) => {
                variables.push(("LIBRA_CLIENTS", json_of(key, &dates_as_texts(value))?.to_string()));
            }
            (key, value) => variables.push((variable(key, key)?, text_of(key, value)?)),
        }
    }
    Ok(variables)
}

/// The line of a place in the text, counted from 1.
fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// What the reader says of it, if it quotes nothing that could be a key.
fn reason(message: &str) -> String {
    let is_short = |word: &str| word.chars().count() < 20;
    let first = message.lines().next().unwrap_or_default();
    if first.is_empty() || !first.split(char::is_whitespace).all(is_short) || first.contains('`') {
        return String::new();
    }
    format!(": {first}")
}

/// The line on which a variable is set, counted from 1. The file is valid.
pub(super) fn line_of(text: &str, variable: &str) -> Option<usize> {
    let table = toml::de::DeTable::parse(text).ok()?;
    let name = name_of(variable);
    let in_service = |key: &str, value: &toml::Spanned<toml::de::DeValue<'_>>| {
        let inner = name.strip_prefix("custom_llm_").filter(|_| key == "custom_llm")?;
        let table = value.get_ref().as_table()?;
        table.iter().find(|(key, _)| key.get_ref() == inner).map(|(key, _)| key.span().start)
    };
    let at = table.get_ref().iter().find_map(|(key, value)| {
        if key.get_ref() == name.as_str() {
            return Some(key.span().start);
        }
        in_service(key.get_ref(), value)
    });
    at.map(|at| line_at(text, at))
}

/// A setting's name in the file: the variable's in lower case, without `LIBRA_`.
pub(super) fn name_of(variable: &str) -> String {
    variable.strip_prefix("LIBRA_").unwrap_or(variable).to_ascii_lowercase()
}

/// The variable that a setting of the file stands for. `shown` is the setting's name in messages.
fn variable(key: &str, shown: &str) -> Result<&'static str, String> {
    let known = VARIABLES.iter().find(|variable| name_of(variable.name) == key);
    known.map(|variable| variable.name).ok_or_else(|| {
        let key = name_of(&key.to_ascii_uppercase());
        let nearest = super::nearest(&key, VARIABLES.iter().map(|variable| name_of(variable.name)));
        let hint = nearest.map(|nearest| format!("; is {nearest} meant?")).unwrap_or_default();
        format!("there is no setting {}{hint}", name_shown(shown))
    })
}

/// A name in quotes. One that no setting comes near in length may be a key in the wrong place.
fn name_shown(name: &str) -> String {
    if name.len() <= 32 && name.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.')) {
        return format!("\"{name}\"");
    }
    quoted(name)
}

fn text_of(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(on) => Ok(on.to_string()),
        Value::Array(entries) => {
            let entries: Option<Vec<&str>> = entries.iter().map(Value::as_str).collect();
            let entries = entries.ok_or_else(|| format!("{name}: an array here has texts only"))?;
            Ok(serde_json::Value::from(entries).to_string())
        }
        Value::Datetime(_) | Value::Table(_) => Err(format!(
            "{name}: a {} cannot be used here; write a text in quotes, a number or an array of texts",
            value.type_str()
        )),
    }
}

/// A value with tables in it, as the JSON that its variable takes.
fn json_of(name: &str, value: &Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        // Numbers without end are none in JSON.
        Value::Float(number) => serde_json::Number::from_f64(*number)
            .ok_or_else(|| format!("{name}: {number} cannot be used here"))?
            .into(),
        Value::Boolean(on) => (*on).into(),
        Value::Array(entries) => {
            let entries: Result<Vec<_>, _> = entries.iter().map(|entry| json_of(name, entry)).collect();
            entries?.into()
        }
        Value::Table(table) => {
            let entries = table.iter().map(|(key, value)| Ok((key.clone(), json_of(name, value)?)));
            serde_json::Value::Object(entries.collect::<Result<_, String>>()?)
        }
        Value::Datetime(_) => return Err(format!("{name}: a datetime cannot be used here")),
    })
}

/// A value whose dates and times are texts: when a client expires can be written with and without quotes.
fn dates_as_texts(value: &Value) -> Value {
    match value {
        Value::Datetime(moment) => Value::String(moment.to_string()),
        Value::Array(entries) => Value::Array(entries.iter().map(dates_as_texts).collect()),
        Value::Table(table) => {
            Value::Table(table.iter().map(|(key, value)| (key.clone(), dates_as_texts(value))).collect())
        }
        value => value.clone(),
    }
}

fn aliases_of(name: &str, aliases: &Table) -> Result<String, String> {
    let aliases = aliases.iter().map(|(pattern, models)| {
        let one = models.as_str().map(serde_json::Value::from);
        let many = || {
            let models: Option<Vec<&str>> = models.as_array()?.iter().map(Value::as_str).collect();
            models.map(serde_json::Value::from)
        };
        let models = one
            .or_else(many)
            .ok_or_else(|| format!("{name}: {} needs a model or an array of models", quoted(pattern)))?;
        Ok((pattern.clone(), models))
    });
    let aliases = aliases.collect::<Result<serde_json::Map<String, serde_json::Value>, String>>()?;
    Ok(serde_json::Value::Object(aliases).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let variables = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(variables, expected, "{text:?}");
    }

    #[test]
    fn settings_become_variables() {
        check("", &[]);
        check(
            "listen = ':80'\nmax_attempts = 3\nhome = false",
            &[("LIBRA_LISTEN", ":80"), ("LIBRA_MAX_ATTEMPTS", "3"), ("LIBRA_HOME", "false")],
        );
        check("keys = 'a,b'", &[("LIBRA_KEYS", "a,b")]);
        check("keys = ['a', 'p:b']", &[("LIBRA_KEYS", "[\"a\",\"p:b\"]")]);
        check(
            "[[keys]]\nkey = 'a'\n[[keys]]\nkey = 'b'\nproject = 'p'",
            &[("LIBRA_KEYS", "[{\"key\":\"a\"},{\"key\":\"b\",\"project\":\"p\"}]")],
        );
        check(
            "[[keys]]\nkey = 'a'\ntier = 'free'\n[[keys.limits]]\nmodel = 'm*'\nrpm = 5",
            &[(
                "LIBRA_KEYS",
                "[{\"key\":\"a\",\"tier\":\"free\",\"limits\":[{\"model\":\"m*\",\"rpm\":5}]}]",
            )],
        );
        check(
            "[[projects]]\nname = 'a'\nmax_per_day = { requests = 1000, cost = 5.0 }",
            &[("LIBRA_PROJECTS", "[{\"name\":\"a\",\"max_per_day\":{\"requests\":1000,\"cost\":5.0}}]")],
        );
        check(
            "[[clients]]\nkey = 'a'\nname = 'b'\nexpires = 2027-01-31\nmodels = ['m*']\ncost_per_day = 1.5",
            &[(
                "LIBRA_CLIENTS",
                "[{\"key\":\"a\",\"name\":\"b\",\"expires\":\"2027-01-31\",\"models\":[\"m*\"],\"cost_per_day\":1.5}]",
            )],
        );
        check("[projects.a]\npriority = 1", &[("LIBRA_PROJECTS", "{\"a\":{\"priority\":1}}")]);
        check(
            "[prices]\n'm*' = '1.25/10'\nn = { input = 1, output = 2.5 }",
            &[("LIBRA_PRICES", "{\"m*\":\"1.25/10\",\"n\":{\"input\":1,\"output\":2.5}}")],
        );
        check("[model_fallbacks]\na = ['b', 'c']", &[("LIBRA_MODEL_FALLBACKS", "{\"a\":[\"b\",\"c\"]}")]);
        check(
            "backup_api_keys = ['a']\nclients_file = 'c.txt'",
            &[("BACKUP_API_KEYS", "[\"a\"]"), ("LIBRA_CLIENTS_FILE", "c.txt")],
        );
        check("custom_llm_api_key = 'a'", &[("CUSTOM_LLM_API_KEY", "a")]);
        check(
            "[custom_llm]\nbase_url = 'u'\nmodels = ['a', 'b']",
            &[("CUSTOM_LLM_BASE_URL", "u"), ("CUSTOM_LLM_MODELS", "[\"a\",\"b\"]")],
        );
        check(
            "[model_aliases]\n'z*' = 'm'\n'a' = ['m', 'n']",
            &[("LIBRA_MODEL_ALIASES", "{\"z*\":\"m\",\"a\":[\"m\",\"n\"]}")],
        );
        check("https_proxy = 'http://p'\nport = 80", &[("HTTPS_PROXY", "http://p"), ("PORT", "80")]);
    }

    #[test]
    fn errors_name_the_setting_and_hide_the_value() {
        let check = |text: &str, expected: &str| assert_eq!(parse(text).expect_err(text), expected);
        check("stategy = 'random'", "there is no setting \"stategy\"; is strategy meant?");
        check("LIBRA_LISTEN = ''", "there is no setting \"LIBRA_LISTEN\"; is listen meant?");
        check("[custom_llm]\nurl = ''", "there is no setting \"custom_llm.url\"");
        check("[pool]\nkeys = []", "there is no setting \"pool\"");
        check(
            "AQ-secret-that-is-long-as-a-key-is-4711 = 1",
            "there is no setting the value given (39 characters)",
        );
        check("listen = ':80'\nkeys = ['secret'\nx = 1", "line 3 is not valid TOML");
        check(
            "keys = secret",
            "line 1 is not valid TOML: string values must be quoted, expected literal string",
        );
        check(
            "log = 2026-11-24",
            "log: a datetime cannot be used here; write a text in quotes, a number or an array of texts",
        );
        check("clients = ['secret', 1]", "clients: an array here has texts only");
        check("keys = ['secret', 1]", "keys: an array here has texts only");
        check("[[keys]]\nkey = 2026-11-24", "keys: a datetime cannot be used here");
        check("projects = [{ max_per_day = { cost = inf } }]", "projects: inf cannot be used here");
        check("[model_aliases]\na = 1", "model_aliases: \"a\" needs a model or an array of models");
    }
}
