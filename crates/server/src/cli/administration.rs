//! The command line of the administration: keys, clients, usage, logs, imports.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Asked;

/// Keys of the pool.
#[derive(Args)]
pub(crate) struct KeysOptions {
    #[command(flatten)]
    pub(crate) asked: Asked,

    #[command(subcommand)]
    pub(crate) task: KeysTask,
}

/// What is done with keys. They go by key-… (or its beginning), or by label.
#[derive(Subcommand)]
pub(crate) enum KeysTask {
    /// Show the keys of the pool, never themselves.
    List {
        /// Those of this project.
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
        /// Those with this tag.
        #[arg(long, value_name = "TAG")]
        tag: Option<String>,
        /// Those in this state: usable, paused or set-aside.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
    },
    /// Add keys from a file or standard input: lines, commas, JSON, project:KEY, whatever was pasted.
    Add {
        /// The file; without it, or with -, standard input is read.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// The project of those that name none.
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
        /// What one key is called.
        #[arg(long)]
        label: Option<String>,
        /// A tag; may come several times.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// Do not use them for now.
        #[arg(long)]
        paused: bool,
    },
    /// Remove keys for ever.
    Remove {
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
    /// Do not use keys for now.
    Pause {
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
    /// Use paused keys again.
    Resume {
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
    /// Call a key something; without a label, nothing any more.
    Label {
        #[arg(value_name = "KEY")]
        key: String,
        label: Option<String>,
    },
    /// Say which tags a key has; without one, none.
    Tag {
        #[arg(value_name = "KEY")]
        key: String,
        #[arg(value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Check keys with a short request each; without keys, all of the pool. Ends with 1 if one is not good.
    Verify {
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Print the keys themselves, as project:KEY a line. It is noted in the log of changes.
    Export {
        /// A file to write them into, which must not be there; without it, standard output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Seal the store with another secret, while no gateway runs: LIBRA_SECRET_NEW, or one that is made.
    Rekey,
}

/// Clients of the pool.
#[derive(Args)]
pub(crate) struct ClientsOptions {
    #[command(flatten)]
    pub(crate) asked: Asked,

    #[command(subcommand)]
    pub(crate) task: ClientsTask,
}

/// What is done with clients. They go by name or by key-….
#[derive(Subcommand)]
pub(crate) enum ClientsTask {
    /// Show the clients, never their keys.
    List,
    /// Add a client, and show its key this once.
    Add {
        name: String,
        #[command(flatten)]
        said: Said,
    },
    /// Change what is said of a client.
    Change {
        #[arg(value_name = "CLIENT")]
        client: String,
        #[command(flatten)]
        said: Said,
    },
    /// Remove a client: its key opens nothing from then on.
    Remove {
        #[arg(value_name = "CLIENT")]
        client: String,
    },
    /// Give a client another key, and show it this once; the one it had opens nothing from then on.
    Rotate {
        #[arg(value_name = "CLIENT")]
        client: String,
    },
}

/// What is said of a client.
#[derive(Args, Default)]
pub(crate) struct Said {
    /// A setting: requests_per_day=1000, models=gemini-*-flash*,gpt-4o, expires=2027-01-31; nothing behind = takes it back.
    /// May come several times.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,
}

/// What was used.
#[derive(Args)]
pub(crate) struct UsageOptions {
    #[command(flatten)]
    pub(crate) asked: Asked,

    /// By what it is added up: day, client, project, model, parted by commas.
    #[arg(long, value_name = "WORDS", default_value = "day")]
    pub(crate) by: String,

    /// The first day (Pacific time): 2026-11-24.
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<String>,

    /// The last day.
    #[arg(long, value_name = "DAY")]
    pub(crate) to: Option<String>,

    /// Of this client.
    #[arg(long)]
    pub(crate) client: Option<String>,

    /// Of this project.
    #[arg(long)]
    pub(crate) project: Option<String>,

    /// Of this model.
    #[arg(long)]
    pub(crate) model: Option<String>,

    /// Print a table for spreadsheets.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}

/// The log of requests.
#[derive(Args)]
pub(crate) struct LogsOptions {
    #[command(flatten)]
    pub(crate) asked: Asked,

    /// Go on with what comes, until Ctrl-C.
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// How many of the last requests.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) lines: u32,

    /// Of this client.
    #[arg(long)]
    pub(crate) client: Option<String>,

    /// Of this project.
    #[arg(long)]
    pub(crate) project: Option<String>,

    /// Of this model.
    #[arg(long)]
    pub(crate) model: Option<String>,

    /// With this status.
    #[arg(long)]
    pub(crate) status: Option<u16>,

    /// That ended so: complete, refused, cut or client-left.
    #[arg(long)]
    pub(crate) ending: Option<String>,

    /// The one with this name (x-libra-request-id).
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<String>,
}

/// Keys and clients of another program.
#[derive(Args)]
pub(crate) struct ImportOptions {
    #[command(flatten)]
    pub(crate) asked: Asked,

    /// The program.
    pub(crate) from: Program,

    /// Its file: gemini-balance: .env or its SQLite database; gpt-load, new-api: the SQLite database; litellm: config.yaml.
    pub(crate) file: PathBuf,

    /// Say what would be taken, and take nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A program whose keys and clients can be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    GeminiBalance,
    GptLoad,
    #[value(alias = "one-api")]
    NewApi,
    Litellm,
}
