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
        let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not valid TOML")
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
            ("model_aliases", Value::Table(aliases)) => {
                variables.push(("LIBRA_MODEL_ALIASES", aliases_of(aliases)?));
            }
            ("keys", Value::Array(keys)) => variables.push(("LIBRA_KEYS", keys_of(keys)?)),
            (key, value) => variables.push((variable(key, key)?, text_of(key, value)?)),
        }
    }
    Ok(variables)
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
        Value::Boolean(on) => Ok(on.to_string()),
        Value::Array(entries) => {
            let entries: Option<Vec<&str>> = entries.iter().map(Value::as_str).collect();
            let entries = entries.ok_or_else(|| format!("{name}: an array here has texts only"))?;
            Ok(serde_json::Value::from(entries).to_string())
        }
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => Err(format!(
            "{name}: a {} cannot be used here; write a text in quotes, a whole number or an array of texts",
            value.type_str()
        )),
    }
}

/// The pool, whose entries are texts or tables with `key` and `project`.
fn keys_of(entries: &[Value]) -> Result<String, String> {
    let entries = entries.iter().enumerate().map(|(index, entry)| {
        let problem = |problem: &str| format!("keys: entry {}: {problem}", index + 1);
        match entry {
            Value::String(entry) => Ok(entry.clone()),
            Value::Table(entry) => {
                if let Some(unknown) = entry.keys().find(|key| !matches!(key.as_str(), "key" | "project")) {
                    let unknown = name_shown(unknown);
                    return Err(problem(&format!(
                        "there is no setting {unknown}; key and project are known"
                    )));
                }
                let key = entry.get("key").and_then(Value::as_str);
                let key = key.ok_or_else(|| problem("needs a text named key"))?;
                match entry.get("project") {
                    None => Ok(key.to_owned()),
                    Some(Value::String(project)) if is_project(project) => Ok(format!("{project}:{key}")),
                    Some(_) => Err(problem(
                        "a project is a text without spaces, quotes, commas, colons and semicolons",
                    )),
                }
            }
            _ => Err(problem("is neither a text nor a table")),
        }
    });
    let entries = entries.collect::<Result<Vec<String>, String>>()?;
    Ok(serde_json::Value::from(entries).to_string())
}

/// Whether a project's name survives in a list of `project:KEY`.
fn is_project(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, ',' | ';' | ':' | '"' | '\'' | '`' | '\\'))
}

fn aliases_of(aliases: &Table) -> Result<String, String> {
    let aliases = aliases.iter().map(|(pattern, models)| {
        let one = models.as_str().map(serde_json::Value::from);
        let many = || {
            let models: Option<Vec<&str>> = models.as_array()?.iter().map(Value::as_str).collect();
            models.map(serde_json::Value::from)
        };
        let models = one.or_else(many).ok_or_else(|| {
            format!("model_aliases: {} needs a model or an array of models", quoted(pattern))
        })?;
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
            &[("LIBRA_KEYS", "[\"a\",\"p:b\"]")],
        );
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
        check("keys = secret", "line 1 is not valid TOML");
        check(
            "log = 1.5",
            "log: a float cannot be used here; write a text in quotes, a whole number or an array of texts",
        );
        check("clients = ['secret', 1]", "clients: an array here has texts only");
        check("keys = ['secret', 1]", "keys: entry 2: is neither a text nor a table");
        check("[[keys]]\nproject = 'p'", "keys: entry 1: needs a text named key");
        check(
            "[[keys]]\nkey = 'secret'\nname = 'p'",
            "keys: entry 1: there is no setting \"name\"; key and project are known",
        );
        check(
            "[[keys]]\nkey = 'secret'\nproject = 'my p'",
            "keys: entry 1: a project is a text without spaces, quotes, commas, colons and semicolons",
        );
        check("[model_aliases]\na = 1", "model_aliases: \"a\" needs a model or an array of models");
    }
}
