//! The clients: what each is called, which packages it is made of, and the script that checks it.

/// A client, and so a row of the table.
#[derive(Debug)]
pub(super) struct Client {
    /// By which it is chosen on the command line.
    pub(super) name: &'static str,
    /// As the table calls it.
    pub(super) title: &'static str,
    /// The packages whose versions the table tells.
    pub(super) packages: &'static [&'static str],
    /// Where they are installed.
    pub(super) home: Home,
    /// A file of `xtask/conformance`.
    pub(super) script: &'static str,
    /// What the script is told, if it checks several clients.
    pub(super) argument: Option<&'static str>,
}

/// Where packages are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Home {
    /// The virtual environment of a list in `xtask/conformance/requirements`.
    Python(&'static str),
    /// A folder of `xtask/conformance` with a `package-lock.json`, for scripts that lie in it.
    Node(&'static str),
    /// Such a folder, for programs that a Python script runs.
    Programs(&'static str),
}

pub(crate) const SDKS: Home = Home::Python("sdks");
const FRAMEWORKS: Home = Home::Python("frameworks");
const LITELLM: Home = Home::Python("litellm");
pub(crate) const NODE: Home = Home::Node("node");
const AGENTS: Home = Home::Programs("agents");

/// All clients, in the table's order.
pub(super) const CLIENTS: &[Client] = &[
    client("openai-python-chat", "OpenAI SDK for Python: chat", &["openai"], SDKS, "openai_chat.py"),
    client(
        "openai-python-responses",
        "OpenAI SDK for Python: responses",
        &["openai"],
        SDKS,
        "openai_responses.py",
    ),
    client(
        "openai-python-media",
        "OpenAI SDK for Python: embeddings, images, sound",
        &["openai"],
        SDKS,
        "openai_media.py",
    ),
    client(
        "openai-python-files",
        "OpenAI SDK for Python: files, batches",
        &["openai"],
        SDKS,
        "openai_files.py",
    ),
    client("anthropic-python", "Anthropic SDK for Python", &["anthropic"], SDKS, "anthropic_messages.py"),
    client("google-python", "Google Gen AI SDK for Python", &["google-genai"], SDKS, "google_genai.py"),
    client(
        "live-google-python",
        "Google Gen AI SDK for Python: Live",
        &["google-genai"],
        SDKS,
        "live_genai.py",
    ),
    client("openai-node-chat", "OpenAI SDK for Node: chat", &["openai"], NODE, "node/openai_chat.mjs"),
    client(
        "openai-node-embeddings",
        "OpenAI SDK for Node: embeddings",
        &["openai"],
        NODE,
        "node/openai_embeddings.mjs",
    ),
    client(
        "openai-node-responses",
        "OpenAI SDK for Node: responses",
        &["openai"],
        NODE,
        "node/openai_responses.mjs",
    ),
    client("google-node", "Google Gen AI SDK for Node", &["@google/genai"], NODE, "node/google_genai.mjs"),
    client("live-google-node", "Google Gen AI SDK for Node: Live", &["@google/genai"], NODE, "node/live.mjs"),
    client(
        "anthropic-node",
        "Anthropic SDK for Node",
        &["@anthropic-ai/sdk"],
        NODE,
        "node/anthropic_messages.mjs",
    ),
    client("ai-sdk-google", "AI SDK: Google", &["ai", "@ai-sdk/google"], NODE, "node/ai_sdk.mjs")
        .told("google"),
    client("ai-sdk-openai-chat", "AI SDK: OpenAI, chat", &["ai", "@ai-sdk/openai"], NODE, "node/ai_sdk.mjs")
        .told("openai-chat"),
    client(
        "ai-sdk-openai-responses",
        "AI SDK: OpenAI, responses",
        &["ai", "@ai-sdk/openai"],
        NODE,
        "node/ai_sdk.mjs",
    )
    .told("openai-responses"),
    client(
        "ai-sdk-compatible",
        "AI SDK: OpenAI-compatible",
        &["ai", "@ai-sdk/openai-compatible"],
        NODE,
        "node/ai_sdk.mjs",
    )
    .told("compatible"),
    client("ai-sdk-anthropic", "AI SDK: Anthropic", &["ai", "@ai-sdk/anthropic"], NODE, "node/ai_sdk.mjs")
        .told("anthropic"),
    client("langchain-openai", "LangChain: OpenAI", &["langchain-openai"], FRAMEWORKS, "langchain.py")
        .told("openai"),
    client(
        "langchain-openai-responses",
        "LangChain: OpenAI, responses",
        &["langchain-openai"],
        FRAMEWORKS,
        "langchain.py",
    )
    .told("openai-responses"),
    client("langchain-google", "LangChain: Google", &["langchain-google-genai"], FRAMEWORKS, "langchain.py")
        .told("google"),
    client(
        "pydantic-ai-google",
        "pydantic-ai: Google",
        &["pydantic-ai-slim"],
        FRAMEWORKS,
        "pydantic_ai_client.py",
    )
    .told("google"),
    client(
        "pydantic-ai-openai-chat",
        "pydantic-ai: OpenAI, chat",
        &["pydantic-ai-slim"],
        FRAMEWORKS,
        "pydantic_ai_client.py",
    )
    .told("openai-chat"),
    client(
        "pydantic-ai-openai-responses",
        "pydantic-ai: OpenAI, responses",
        &["pydantic-ai-slim"],
        FRAMEWORKS,
        "pydantic_ai_client.py",
    )
    .told("openai-responses"),
    client(
        "pydantic-ai-anthropic",
        "pydantic-ai: Anthropic",
        &["pydantic-ai-slim"],
        FRAMEWORKS,
        "pydantic_ai_client.py",
    )
    .told("anthropic"),
    client("litellm-openai", "LiteLLM: OpenAI", &["litellm"], LITELLM, "litellm_client.py").told("openai"),
    client("litellm-gemini", "LiteLLM: Gemini", &["litellm"], LITELLM, "litellm_client.py").told("gemini"),
    client("litellm-anthropic", "LiteLLM: Anthropic", &["litellm"], LITELLM, "litellm_client.py")
        .told("anthropic"),
    client("gemini-cli", "Gemini CLI", &["@google/gemini-cli"], AGENTS, "agents.py").told("gemini-cli"),
    client("claude-code", "Claude Code", &["@anthropic-ai/claude-code"], AGENTS, "agents.py")
        .told("claude-code"),
    client("codex", "Codex CLI", &["@openai/codex"], AGENTS, "agents.py").told("codex"),
    client("opencode", "opencode", &["opencode-linux-x64"], AGENTS, "agents.py").told("opencode"),
    client("aider", "aider", &["aider-chat"], Home::Python("aider"), "agents.py").told("aider"),
];

const fn client(
    name: &'static str,
    title: &'static str,
    packages: &'static [&'static str],
    home: Home,
    script: &'static str,
) -> Client {
    Client { name, title, packages, home, script, argument: None }
}

impl Client {
    const fn told(self, argument: &'static str) -> Self {
        Self { argument: Some(argument), ..self }
    }
}
