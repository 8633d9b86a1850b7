//! Projects, what models cost, and clients that are held to paid projects.

use super::*;
use crate::clients::ClientSettings;

#[test]
fn keys_and_projects_are_described() {
    let config = good(&[
        (
            "LIBRA_KEYS",
            r#"["a:k1", {"key": "k2", "project": "a", "label": "second", "tier": "paid", "priority": 3},
              {"key": "b:k3"}, {"key": "k4", "label": "mine", "tier": "free",
              "limits": [{"model": "gemini-2.5-*", "rpm": 5, "tpm": 250000, "rpd": 0}, {"rpm": 15}]},
              {"key": "k5", "label": "spare"}, {"key": "k6", "label": "a", "tier": "unknown"}, {"key": "k7"}]"#,
        ),
        ("LIBRA_CLIENTS", "k7,client"),
        (
            "LIBRA_PROJECTS",
            r#"{"b": {"max_per_day": {"requests": 1000, "cost": 2.5}}, "a": {"tier": "paid"}}"#,
        ),
        ("LIBRA_PRICES", "gemini-2.5-pro=1.25/10; gemini-*=0.3/2.5"),
    ]);
    let own = ApiKey::new("k6").id().to_string();
    let keys: Vec<_> = config
        .keys
        .iter()
        .map(|entry| (entry.key.expose(), entry.project.as_deref(), entry.label.as_deref()))
        .collect();
    assert_eq!(
        keys,
        [
            ("k1", Some("a"), None),
            ("k2", Some("a"), Some("second")),
            ("k3", Some("b"), None),
            ("k4", Some("mine"), Some("mine")),
            ("k5", None, Some("spare")),
            ("k6", Some(own.as_str()), Some("a")),
        ]
    );
    let names: Vec<_> = config.projects.iter().map(|project| project.name.as_str()).collect();
    assert_eq!(names, ["b", "a", "mine", &own]);
    let [b, a, mine, other] = &config.projects[..] else { panic!("there are four") };
    assert_eq!((b.max_requests_per_day, b.max_cost_per_day), (Some(1000), Some(2.5)));
    assert_eq!((a.tier, a.priority, a.rank()), (Tier::Paid, Some(3), 3));
    assert_eq!((b.rank(), mine.tier, other.tier), (1, Tier::Free, Tier::Unknown));
    let limits = mine.limits_of("gemini-2.5-pro").expect("its pattern matches");
    assert_eq!(
        (limits.requests_per_minute, limits.tokens_per_minute, limits.requests_per_day),
        (Some(5), Some(250_000), Some(0))
    );
    assert_eq!(
        mine.limits_of("gemma").and_then(|limits| limits.requests_per_minute),
        Some(15),
        "no model means all"
    );
    assert_eq!(b.limits_of("gemini-2.5-pro"), None);

    // Twice the same is no contradiction, and a list of projects is the same as an object.
    let keys = r#"[{"key": "k1", "tier": "paid", "project": "p"}, {"key": "k1", "tier": "paid"}, "p:k2"]"#;
    let projects = r#"[{"name": "p", "tier": "paid"}, {"name": "p", "priority": 0}]"#;
    let config = good(&[("LIBRA_KEYS", keys), ("LIBRA_PROJECTS", projects)]);
    assert_eq!(config.keys.len(), 2);
    let [p] = &config.projects[..] else { panic!("there is one") };
    assert_eq!((p.tier, p.rank()), (Tier::Paid, 0));
    // Two keys of one label are two projects.
    let keys =
        r#"[{"key": "k1", "label": "x", "tier": "paid"}, {"key": "k2", "label": "x", "tier": "free"}]"#;
    let config = good(&[("LIBRA_KEYS", keys)]);
    let tiers: Vec<_> = config.projects.iter().map(|project| (project.tier, project.rank())).collect();
    assert_eq!(tiers, [(Tier::Paid, 2), (Tier::Free, 1)]);
}

#[test]
fn descriptions_that_cannot_be_are_refused() {
    let projects = |text: &str, expected: &str| {
        assert_eq!(bad(&[("LIBRA_PROJECTS", text)]), format!("LIBRA_PROJECTS: {expected}"), "{text}");
    };
    let keys = |text: &str, expected: &str| {
        assert_eq!(bad(&[("LIBRA_KEYS", text)]), format!("LIBRA_KEYS: {expected}"), "{text}");
    };
    projects("{", "is not valid JSON (line 1, column 1)");
    projects("1", "is neither a JSON object of projects nor an array of them");
    projects(r#"[{"tier": "free"}]"#, "entry 1: needs a text named name");
    projects(r#"{"a b": {}}"#, "entry 1: a project has 1 to 128 visible ASCII characters");
    projects(&format!("{{\"{SECRET}\": {{}}}}"), "entry 1: a project looks like a key; write project:KEY");
    projects(r#"{"a": 1}"#, "project \"a\": needs a table of tier, priority, max_per_day and limits");
    projects(
        r#"{"a": {"teir": "free"}}"#,
        "project \"a\": there is no setting \"teir\"; tier, priority, max_per_day and limits are known",
    );
    projects(r#"{"a": {"tier": 1}}"#, "project \"a\": tier: \"\" is not one of free, paid, unknown");
    projects(r#"{"a": {"priority": 256}}"#, "project \"a\": priority: is no number from 0 to 255");
    projects(
        r#"{"a": {"max_per_day": 5}}"#,
        "project \"a\": max_per_day: needs a table of requests and cost",
    );
    projects(
        r#"{"a": {"max_per_day": {"requests": -1}}}"#,
        "project \"a\": max_per_day: requests: is no whole number from 0 to 1000000000000",
    );
    projects(
        r#"{"a": {"max_per_day": {"cost": 1e10}}}"#,
        "project \"a\": max_per_day: cost: is no amount from 0 to 1000000000",
    );
    projects(
        r#"{"a": {"max_per_day": {"cost": 1}}}"#,
        "project \"a\": has a max_per_day.cost, which needs prices: set LIBRA_PRICES too",
    );
    projects(
        r#"{"a": {"limits": [{"rpm": 1}, {"model": "m"}]}}"#,
        "project \"a\": limits: entry 2: has none of rpm, tpm and rpd",
    );
    projects(
        r#"{"a": {"limits": [{"rps": 1}]}}"#,
        "project \"a\": limits: entry 1: there is no setting \"rps\"; model, rpm, tpm and rpd are known",
    );
    let many = format!("{{\"a\": {{\"limits\": [{}{{\"rpm\": 1}}]}}}}", "{\"rpm\": 1},".repeat(100));
    projects(&many, "project \"a\": limits: has 101 entries; at most 100 are allowed");
    projects(
        r#"[{"name": "a", "tier": "free"}, {"name": "a", "tier": "paid"}]"#,
        "project \"a\": two different values of tier are given",
    );
    keys(
        r#"[{"key": "k1", "project": "a", "tier": "free"}, {"key": "k2", "project": "a", "tier": "paid"}]"#,
        "project \"a\": two different values of tier are given",
    );
    assert_eq!(
        bad(&[
            ("BACKUP_API_KEYS", r#"[{"key": "k1", "project": "a", "priority": 1}]"#),
            ("LIBRA_PROJECTS", r#"{"a": {"priority": 2}}"#)
        ]),
        "BACKUP_API_KEYS: project \"a\": two different values of priority are given"
    );
    keys(
        r#"[{"key": "k1", "tier": "free"}, {"key": "k1", "tier": "paid"}]"#,
        "entry 2: says another tier of a key's project than an earlier entry did",
    );
    keys(
        r#"[{"key": "k1", "label": "a"}, {"key": "k1", "label": "b"}]"#,
        "entry 2: gives a key another label than an earlier entry did",
    );
    keys(
        r#"[{"key": "k1", "label": "é"}]"#,
        "entry 1: label: a label has 1 to 128 visible ASCII characters or spaces",
    );
    keys(r#"["k1", {"project": "a"}]"#, "entry 2: needs a text named key");
    keys(r#"[{"key": "k1"}, 1]"#, "entry 2: is neither a text nor a table");
    keys(
        r#"[{"key": "k1", "teir": "free"}]"#,
        "entry 1: there is no setting \"teir\"; key, project, label, tier, priority, max_per_day and limits are known",
    );
    keys(r#"[{"key": "k1"},"#, "is not valid JSON (line 1, column 15)");
    keys(&format!("{SECRET}:project"), "entry 1: a project looks like a key; write project:KEY");
    let price = |text: &str| bad(&[("LIBRA_PRICES", text)]);
    let problem = "\"a\" needs the prices of a million tokens of input and of output, from 0 to 1000000; write pattern=1.25/10";
    for text in ["a=1", "a=1/x", "a=-1/1", "a=NaN/1", "a=1/1000001", r#"{"a": 1}"#, r#"{"a": {"input": 1}}"#]
    {
        assert_eq!(price(text), format!("LIBRA_PRICES: {problem}"), "{text}");
    }
    assert_eq!(price("a"), "LIBRA_PRICES: \"a\" is not of the form pattern=input/output");
    assert_eq!(
        price(r#"{"a": {"output": 1, "input": 1, "cache": 1}}"#),
        "LIBRA_PRICES: \"a\": there is no setting \"cache\"; input and output are known"
    );
}

#[test]
fn prices_are_read_in_both_forms() {
    let check = |text: &str| {
        let prices = good(&[("LIBRA_PRICES", text)]).prices;
        let prices: Vec<_> = prices.iter().map(|price| (price.input, price.output)).collect();
        assert_eq!(prices, [(1.25, 10.0), (0.0, 2.5)], "{text}");
    };
    check("gemini-2.5-pro=1.25/10,gemini-*=0/2.5");
    check("gemini-2.5-pro = 1.25 / 10\ngemini-* = 0/2.5;");
    check(r#"{"gemini-2.5-pro": "1.25/10", "gemini-*": {"input": 0, "output": 2.5}}"#);
    let price = &good(&[("LIBRA_PRICES", "m=1/4")]).prices[0];
    assert_eq!(price.cost(500_000, 250_000).to_bits(), 1.5_f64.to_bits());
}

#[test]
fn clients_can_be_held_to_paid_projects() {
    let config = good(&[("LIBRA_KEYS", "k1"), ("LIBRA_CLIENTS", "c1"), ("LIBRA_PAID_CLIENTS", "c2,c3")]);
    let held = |name: &str| {
        config.clients.by_key(&ApiKey::new(name)).is_some_and(|client| client.settings.paid_only)
    };
    assert!(held("c2") && held("c3") && !held("c1"));
    assert_eq!(config.clients.len(), 3);
    // Alone they open the pool too, and stay out of it.
    let config = good(&[("LIBRA_KEYS", "k1,c2"), ("LIBRA_PAID_CLIENTS_1", "c2"), ("TRUSTED_API_KEYS", "c2")]);
    assert_eq!((config.clients.len(), config.keys.len()), (1, 1));
}

#[test]
fn clients_have_settings_of_their_own() {
    let clients = r#"[{"key": "c1", "name": "a", "requests_per_day": 5, "cost_per_day": 0.5}, "c2,c3"]"#;
    let set = [("LIBRA_KEYS", "k1"), ("LIBRA_CLIENTS", clients), ("LIBRA_SAFETY_CLIENTS", "off:c1")];
    assert_eq!(
        bad(&set),
        "LIBRA_CLIENTS: entry 1: has a cost_per_day, which needs prices: set LIBRA_PRICES too"
    );
    let config = good(&[set[0], set[1], set[2], ("LIBRA_PRICES", "*=1/2")]);
    let client = |key: &str| config.clients.by_key(&ApiKey::new(key)).map(|client| client.settings.clone());
    let first = client("c1").expect("it is known");
    assert_eq!(
        (first.name.as_str(), first.requests_per_day, first.safety),
        ("a", Some(5), Some(Safety::Off))
    );
    assert_eq!(client("c2"), Some(ClientSettings::default()));
    assert_eq!(config.clients.len(), 3);
    let check = |clients: &str, expected: &str| {
        assert_eq!(bad(&[("LIBRA_CLIENTS", clients)]), format!("LIBRA_CLIENTS: {expected}"));
    };
    check(r#"[{"name": "a"}]"#, "entry 1: needs a text named key");
    check(r#"[{"key": "a", "weight": 0}]"#, "entry 1: weight: is no whole number from 1 to 100");
    check(
        r#"[{"key": "a", "name": "n"}, {"key": "b", "name": "n"}]"#,
        "entry 2: there is another client named \"n\"",
    );
    check(
        r#"[{"key": "a", "reserve": 60}, {"key": "b", "reserve": 41}]"#,
        "entry 2: with it, more than 100 percent of the pool are reserved",
    );
    check(
        r#"[{"key": "a", "reserve": 60}, {"key": "a", "reserve": 41}]"#,
        "entry 2: says something else of a client than an earlier entry did",
    );
}
