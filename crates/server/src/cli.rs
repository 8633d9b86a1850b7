//! The command line.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use libra_core::config::{Group, VARIABLES};

use crate::clock::Lapse;

/// What `libra` was called with. No `Debug`: keys to verify are among it.
#[derive(Parser)]
#[command(
    name = "libra",
    version,
    about = "A load-balancing gateway for the Gemini API: many keys, one address.",
    after_help = "Without a command, libra serves. --help lists the environment variables too.",
    after_long_help = environment()
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// What may stand before and after the command.
    #[command(flatten)]
    pub(crate) options: Options,
}

impl Cli {
    /// What to do; without a command, to serve.
    pub(crate) fn task(&self) -> &Command {
        self.command.as_ref().unwrap_or(&Command::Serve)
    }
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the gateway (the default).
    Serve,
    /// Check keys with a short request each: GOOD, BAD or ERROR. Without keys: those of the pool that is set.
    Verify {
        /// Keys, parted by commas or spaces. Other users of this machine may see them while libra runs.
        #[arg(value_name = "KEY,KEY…")]
        keys: Vec<String>,

        /// Then find out which of them share a project, with a file of five letters that is uploaded into each project,
        /// looked for with the other keys, and deleted again.
        #[arg(long)]
        probe_projects: bool,
    },
    /// Run a described pool and load in virtual time, and say what each strategy would have made of it.
    Simulate(Simulation),
    /// Say what a pool is worth now: doubles, dead keys, limits and projects. Asks Gemini a few short things a key.
    Audit(AuditOptions),
    /// Show the pool of the running gateway: keys, projects, counts, limits and rests; or say which keys share a
    /// project. Needs LIBRA_ADMIN_TOKEN.
    Pool(PoolOptions),
    /// Look at the settings without starting.
    Config {
        #[command(subcommand)]
        task: ConfigTask,
    },
    /// Look after the keys of the store.
    Keys {
        #[command(subcommand)]
        task: KeysTask,
    },
    /// Copy the store into a file, also while the gateway runs.
    Backup {
        /// The file, which must not be there.
        file: PathBuf,
    },
    /// Put a copy in the place of the store, while no gateway runs. What was there stays beside it.
    Restore {
        /// A file that `libra backup` has made.
        file: PathBuf,
    },
    /// Say which project of the running gateway would serve a request now, and why not the others. Needs
    /// LIBRA_ADMIN_TOKEN.
    Explain(Question),
}

/// What is done with settings.
#[derive(Subcommand)]
pub(crate) enum ConfigTask {
    /// Read all settings as a start would, and say where each comes from and what is wrong. Ends with 0 if they can be
    /// used, else with 2.
    Check {
        /// The file of settings to read instead of libra.toml in the working folder.
        file: Option<PathBuf>,
    },
}

/// What is done with keys.
#[derive(Subcommand)]
pub(crate) enum KeysTask {
    /// Seal the store with another secret, while no gateway runs: LIBRA_SECRET_NEW, or one that is made.
    Rekey,
}

/// Which gateway is asked, and how its answer is shown.
#[derive(Args, Default)]
pub(crate) struct Asked {
    /// Where the gateway is; without it, on this machine where LIBRA_LISTEN (or PORT) says.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// Print the JSON as the gateway sends it.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What is done with the pool of the running gateway.
#[derive(Args, Default)]
pub(crate) struct PoolOptions {
    #[command(flatten)]
    pub(crate) asked: Asked,

    /// Without one, the pool is shown.
    #[command(subcommand)]
    pub(crate) change: Option<PoolChange>,
}

/// A change of the pool by hand.
#[derive(Subcommand)]
pub(crate) enum PoolChange {
    /// Say that keys are of one project.
    Join {
        /// Keys as `libra pool` shows them (key-…, or its beginning), by label, or all of a project by its name.
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
    /// Say that each of these keys is of a project of its own.
    Split {
        /// As for join.
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
}

/// The request to explain.
#[derive(Args)]
pub(crate) struct Question {
    #[command(flatten)]
    pub(crate) asked: Asked,

    /// The model that is asked for; an alias will do.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,

    /// Its input tokens.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) tokens: u64,
}

/// What to simulate.
#[derive(Args)]
pub(crate) struct Simulation {
    /// The pool and the load: see docs/simulate.md, and scenarios/ for examples.
    #[arg(value_name = "FILE.toml")]
    pub(crate) file: PathBuf,

    /// What decides what chance decides.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// So many runs, with this seed and those after it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,

    /// A strategy to run; may come several times. Without it: the default and the classic ones.
    #[arg(long, value_name = "NAME")]
    pub(crate) strategy: Vec<String>,
}

/// What `libra audit` looks at, and how it answers.
#[derive(Args, Default)]
pub(crate) struct AuditOptions {
    /// A file with the pool instead of the one that is set: gemini-balance's or Gemini Balance Lite's
    /// environment file, or a list, a key a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) env: Option<PathBuf>,

    /// Models to ask for, parted by commas; without one, that of LIBRA_VERIFY_MODEL. Each costs every key one
    /// short request of its quota.
    #[arg(long = "model", value_name = "MODEL,…", value_delimiter = ',')]
    pub(crate) models: Vec<String>,

    /// Find out which keys share a project, with a file of five letters that is uploaded into each project, looked for
    /// with the other keys, and deleted again.
    #[arg(long)]
    pub(crate) probe_projects: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is said on the command line wins over every other setting.
#[derive(Args, Clone, Default)]
pub(crate) struct Options {
    /// Run with a simulated Gemini and made-up keys; needs no setting.
    #[arg(long, global = true, conflicts_with = "upstream")]
    pub(crate) demo: bool,

    /// The address to listen on (LIBRA_LISTEN); :8080 means all addresses.
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,

    /// Where Gemini is (LIBRA_UPSTREAM).
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) upstream: Option<String>,

    /// The file of settings to read instead of libra.toml in the working folder.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The folder for what outlives a restart (LIBRA_DATA).
    #[arg(long, global = true, value_name = "FOLDER", conflicts_with = "ephemeral")]
    pub(crate) data: Option<String>,

    /// Store nothing: what is learned is lost when libra ends.
    #[arg(long, global = true)]
    pub(crate) ephemeral: bool,

    /// For trials: a clock that runs fast, as RATE:ORIGIN:START.
    #[arg(long, global = true, value_name = "RATE:ORIGIN:START", hide = true)]
    pub(crate) time_lapse: Option<Lapse>,

    /// What is logged (LIBRA_LOG): off, error, warn, info, debug or trace.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
}

/// The settings, by group, as the end of `--help`.
fn environment() -> String {
    let mut text = String::from(
        "Settings come from the command line, the environment, .env in the working folder and libra.toml, the \
         first of these that has one.\nLists are parted by commas or line breaks; see docs/configuration.md.\n",
    );
    for group in Group::ALL {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{}:", group.title());
        for variable in VARIABLES.iter().filter(|variable| variable.group == group) {
            let default = match variable.default {
                "" => String::new(),
                default => format!(" [{default}]"),
            };
            let _ = writeln!(text, "  {:<25} {}{default}", variable.name, variable.meaning);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        let lines = [
            "libra --listen :9 --log debug --config x.toml",
            "libra serve --listen :9 --log debug --config x.toml",
            "libra --listen :9 serve --log debug --config x.toml",
            "libra --listen :9 --log debug --config x.toml verify",
        ];
        for line in lines {
            let cli = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(cli.options.listen.as_deref(), Some(":9"), "{line}");
            assert_eq!(cli.options.log.as_deref(), Some("debug"), "{line}");
            assert!(cli.options.config.is_some() && !cli.options.demo, "{line}");
        }
        assert!(parse("libra serve --demo").is_ok_and(|cli| cli.options.demo));
        assert!(parse("libra --demo").is_ok_and(|cli| cli.options.demo));
        for line in ["libra --demo --upstream http://a", "libra sing", "libra --what", "libra serve now"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn verify_takes_keys_or_none() {
        let keys = |line: &str| match parse(line).map(|cli| cli.command) {
            Ok(Some(Command::Verify { keys, .. })) => keys,
            _ => panic!("{line}"),
        };
        assert_eq!(keys("libra verify"), Vec::<String>::new());
        assert_eq!(keys("libra verify a,b c --log off"), ["a,b", "c"]);
    }

    #[test]
    fn simulate_takes_a_file_seeds_and_strategies() {
        let simulation = |line: &str| match parse(line).map(|cli| cli.command) {
            Ok(Some(Command::Simulate(simulation))) => Some(simulation),
            _ => None,
        };
        let plain = simulation("libra simulate a.toml").expect("a file is enough");
        assert_eq!((plain.seed, plain.seeds, plain.strategy.len()), (1, 1, 0));
        let full =
            simulation("libra simulate a.toml --seed 7 --seeds 3 --strategy random --strategy least-used");
        let full = full.expect("all of it is allowed");
        assert_eq!(
            (full.seed, full.seeds, full.strategy),
            (7, 3, vec!["random".into(), "least-used".into()])
        );
        assert!(simulation("libra simulate").is_none());
        assert!(simulation("libra simulate a.toml --seeds 0").is_none());
    }

    #[test]
    fn audit_takes_models_in_any_way() {
        let options = |line: &str| match parse(line).map(|cli| cli.command) {
            Ok(Some(Command::Audit(options))) => options,
            _ => panic!("{line}"),
        };
        let bare = options("libra audit");
        assert!(bare.env.is_none() && bare.models.is_empty() && !bare.json && !bare.probe_projects);
        let full = options("libra audit --env pool.env --model a,b --model c --json");
        assert!(full.env.is_some() && full.json);
        assert_eq!(full.models, ["a", "b", "c"]);
        assert!(parse("libra audit key").is_err());
    }

    #[test]
    fn the_running_gateway_is_asked() {
        let pool = parse("libra pool --url http://a --json").map(|cli| cli.command);
        assert!(
            matches!(pool, Ok(Some(Command::Pool(pool))) if pool.asked.url.as_deref() == Some("http://a") && pool.asked.json)
        );
        let explain = parse("libra explain --model m --tokens 7 --listen :9").map(|cli| cli.command);
        assert!(
            matches!(explain, Ok(Some(Command::Explain(question))) if question.tokens == 7 && question.model == "m")
        );
        for line in [
            "libra pool join key-a key-b --url http://a --json",
            "libra pool --url http://a --json join key-a key-b",
        ] {
            let Ok(Some(Command::Pool(PoolOptions { asked, change: Some(PoolChange::Join { keys }) }))) =
                parse(line).map(|cli| cli.command)
            else {
                panic!("{line}")
            };
            assert!(asked.json && asked.url.is_some() && keys == ["key-a", "key-b"], "{line}");
        }
        for line in [
            "libra explain",
            "libra explain --model m --tokens -1",
            "libra pool all",
            "libra pool join",
            "libra pool split",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn help_lists_every_setting() {
        let help = Cli::command().render_long_help().to_string();
        for variable in VARIABLES {
            assert!(help.contains(&format!("\n  {}", variable.name)), "{}", variable.name);
        }
        assert!(Cli::command().render_help().to_string().contains("--upstream"));
    }
}
