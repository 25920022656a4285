//! The example gateway's configuration: what is wrong with it is told, and it never starts.

mod support;

use std::process::{Command, Output};

use support::binary;

const GOOD: &str = r#"
[[providers]]
name = "p"
kind = "openai"
base_url = "http://127.0.0.1:9/v1"

[[models]]
id = "m"
targets = [{ provider = "p", model = "m" }]

[[keys]]
name = "k"
secret = "sk-very-secret"
"#;

/// How it ends with a configuration, and what it says of it, without the file's name.
fn run(text: &str, arguments: &[&str]) -> (Output, String) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    let mut gateway = Command::new(binary());
    gateway.arg("--config").arg(file.path()).args(arguments);
    let output = gateway.output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.replace(&format!("{}: ", file.path().display()), "");
    (output, said)
}

/// Refused before it starts, whether it is only checked or not; what it says of it.
fn refused(text: &str) -> String {
    let [checked, started] = [&["--check"][..], &[]].map(|arguments| {
        let (output, said) = run(text, arguments);
        assert_eq!(output.status.code(), Some(2), "{text}\n{said}");
        assert!(output.stdout.is_empty(), "{text}");
        assert!(!said.contains("sk-very-secret"), "{said}");
        said
    });
    assert_eq!(checked, started);
    checked
}

/// What is only found out by opening it is told by its key and its file.
#[test]
fn a_ledger_that_cannot_be_opened_is_told_by_its_place() {
    let text = GOOD.replace(
        "[[keys]]",
        "[ledger]\nstore = \"redb:/no/such/ledger\"\n[[keys]]",
    );
    let (output, said) = run(&text, &[]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("ledger.store: \"redb:/no/such/ledger\": "),
        "{said}"
    );
}

#[test]
fn every_price_file_that_cannot_be_read_is_told() {
    let prices = "[prices]\nfile = \"/no/such/file\"\nlitellm = \"/nor/this\"\n[[keys]]";
    let said = refused(&GOOD.replace("[[keys]]", prices));
    let keys: Vec<_> = said.lines().filter_map(|it| it.split_once(": ")).collect();
    assert_eq!(
        keys.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        ["prices.file", "prices.litellm"],
        "{said}"
    );
}

#[test]
fn a_price_that_is_too_large_is_told_where_it_stands() {
    let model = "price = { input = \"99999999999\" }\n[[keys]]";
    let said = refused(&GOOD.replace("[[keys]]", model));
    assert!(
        said.starts_with("models[0].price.input: expected"),
        "{said}"
    );
    assert!(said.contains("18000000"), "{said}");
}

#[test]
fn a_number_that_is_too_large_for_any_value_is_told_by_its_key() {
    let huge = "123456789012345678901234567890";
    let file = format!(
        "threads = {huge}\nlisten = {huge}\n[routing]\nattempts = -{huge}\n{}\nmax_concurrent = 0x{huge}\n",
        GOOD.trim_end()
    );
    let said = refused(&file);
    for mistake in [
        format!("threads: expected an integer from 1 to 1024, got {huge}\n"),
        "listen: expected a string, got an integer\n".to_owned(),
        format!("routing.attempts: expected an integer from 1 to 100, got -{huge}\n"),
        format!("keys[0].max_concurrent: expected an integer from 1 to 1048576, got 0x{huge}\n"),
    ] {
        assert!(said.contains(&mistake), "{mistake} is not in:\n{said}");
    }
    let range = "parameters = { temperature = { min = 0, max = 1e999 } }\n[[keys]]";
    let said = refused(&GOOD.replace("[[keys]]", range));
    let mistake = "models[0].parameters.temperature.max: expected a number of 64 bits, got 1e999\n";
    assert!(said.contains(mistake), "{said}");
}

#[test]
fn every_mistake_is_told_at_once() {
    let said = refused(
        "listen = \"nowhere\"\nthreads = 0\ntypo = 1\n[[providers]]\nname = \"p\"\nkind = \"magic\"\napi_keys = [\"${TC_NO_SUCH_VARIABLE}\"]\n\
         [[models]]\nid = \"m\"\ntargets = [{ provider = \"q\", model = \"m\" }]\nprice = { input = \"cheap\" }\n\
         [[keys]]\nname = \"k\"\nsecret = \"sk-very-secret\"\nrequests_per_minute = 0\n",
    );
    for key in [
        "listen",
        "threads",
        "typo",
        "providers[0].kind",
        "providers[0].api_keys[0]",
        "models[0].targets[0].provider",
        "models[0].price.input",
        "keys[0].requests_per_minute",
    ] {
        assert!(said.contains(key), "{key} is not in:\n{said}");
    }
}

/// What is wrong in the file hides nothing that is wrong in the files that it names.
#[test]
fn a_mistake_in_the_file_hides_none_in_those_that_it_names() {
    let said = refused(
        "listen = \"nowhere\"\n[prices]\nfile = \"/no/such/file\"\n\
         [[providers]]\nname = \"p\"\nkind = \"vertex\"\nproject = \"p\"\nlocation = \"us\"\ncredentials = \"/nor/this\"\n\
         [[providers]]\nname = \"q\"\nkind = \"azure\"\n\
         [[models]]\nid = \"m\"\ntargets = [{ provider = \"p\", model = \"m\" }]\nprice = { input = \"cheap\" }\n\
         [[keys]]\nname = \"k\"\nsecret = \"sk-very-secret\"\n",
    );
    let mut keys: Vec<_> = said.lines().filter_map(|it| it.split_once(": ")).collect();
    keys.sort_unstable();
    assert_eq!(
        keys.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        [
            "listen",
            "models[0].price.input",
            "prices.file",
            "providers[0].credentials",
            "providers[1].base_url",
        ],
        "{said}"
    );
}

#[test]
fn a_mistake_is_told_by_its_key() {
    let (kind, url) = (r#"kind = "openai""#, "http://127.0.0.1:9/v1");
    let lines = format!("{kind}\nbase_url = {url:?}");
    let vertex = r#"kind = "vertex"
project = "p"
location = "us"
credentials = "/no/such/file""#;
    let wrong: &[(&str, &str, &str)] = &[
        (
            url,
            "ftp://127.0.0.1/v1",
            "providers[0].base_url: expected an http or https URL",
        ),
        (
            url,
            "http://h/v1?key=1",
            "providers[0].base_url: expected an http or https URL without user and query",
        ),
        (
            url,
            "http://h:99999/v1",
            "providers[0].base_url: expected an http or https URL",
        ),
        (
            url,
            "http://user:sk-very-secret@h/v1",
            "user and query, got \"h/v1\"",
        ),
        (
            url,
            "http://h/v1?key=sk-very-secret",
            "user and query, got \"http://h/v1\"",
        ),
        (url, "http://h/v1?key=a@sk-very-secret", "user and query\n"),
        (url, "http://user:sk-very-secret?@h/v1", "user and query\n"),
        (
            "[[keys]]",
            "[ledger]\nstore = \"redb:\"\n[[keys]]",
            "ledger.store: expected memory or redb:",
        ),
        (
            "[[keys]]",
            "price = {}\n[[keys]]",
            "models[0].price.input: or another price is missing",
        ),
        (
            kind,
            vertex,
            "providers[0].credentials: \"/no/such/file\": ",
        ),
        (
            &lines,
            r#"kind = "bedrock""#,
            "providers[0].region: is missing",
        ),
        (
            r#"model = "m" }]"#,
            "model = \"m\" }]\nfallbacks = [\"n\"]",
            "models[0].fallbacks[0]: \"n\" is not among the models",
        ),
        (
            "[[keys]]",
            "[limits]\nstore = \"redis://h:port\"\n[[keys]]",
            "limits.store: not an address",
        ),
        (
            "[[keys]]",
            "[limits]\nstore = \"memcached\"\n[[keys]]",
            "limits.store: expected memory or redis://…, rediss://",
        ),
        (
            "[[keys]]",
            "[prices]\nfile = \"/no/such/file\"\n[[keys]]",
            "/no/such/file: ",
        ),
        (
            "[[keys]]",
            "[[keys]]\nname = \"k\"\nsecret = \"sk-other\"\n[[keys]]",
            "keys[1].name: is there already",
        ),
        (
            "[[keys]]",
            "[ledger]\nstore = \"mysql://h/d\"\n[[keys]]",
            "ledger.store: expected memory or redb:…, postgres://…, postgresql://…, got \"mysql\"",
        ),
        (
            "[[keys]]",
            "[ledger]\nstore = \"postgres://u:sk-very-secret@h:port/d\"\n[[keys]]",
            "ledger.store: not an address of the form postgres://",
        ),
        (
            "[[keys]]",
            "[ledger]\nstore = \"postgres://u@h/d?sslmode=verify-full\"\n[[keys]]",
            "ledger.store: sslmode=require has the database prove its name",
        ),
        (
            "[[keys]]",
            "[ledger]\nroot_certificates = \"r.pem\"\n[[keys]]",
            "ledger.root_certificates: belongs to a store postgres://",
        ),
        (
            "[[keys]]",
            "[ledger]\nstore = \"postgres://u@h/d\"\nroot_certificates = \"/none.pem\"\n[[keys]]",
            "ledger.root_certificates: \"/none.pem\": No such file",
        ),
        (
            "[[keys]]",
            "[ledger]\nstore = \"postgres://u@h/d\"\nroot_certificates = \"/dev/null\"\n[[keys]]",
            "ledger.root_certificates: \"/dev/null\": reading the certificates to trust failed",
        ),
        (
            "[[keys]]",
            "[limits]\nstore = \"redis://h\"\nroot_certificates = \"r.pem\"\n[[keys]]",
            "limits.root_certificates: belongs to a store rediss://",
        ),
        (
            "[[keys]]",
            "[limits]\nstore = \"rediss://h\"\nroot_certificates = \"/dev/null\"\n[[keys]]",
            "limits.root_certificates: \"/dev/null\": not certificates in PEM",
        ),
        (
            "[[models]]",
            "[[models]]\nid = \"m\"\ntargets = [{ provider = \"p\", model = \"m\" }]\n[[models]]",
            "models[1].id: \"m\" names a model already, expected a name of its own",
        ),
        (
            "[[keys]]",
            "aliases = [\"n\", \"m\"]\n[[keys]]",
            "models[0].aliases[1]: \"m\" names a model already, expected a name of its own",
        ),
        (
            "[[keys]]",
            "aliases = [\"\"]\n[[keys]]",
            "models[0].aliases[0]: must not be empty",
        ),
        (
            "[[keys]]",
            "fallbacks = [\"m\"]\n[[keys]]",
            "models[0].fallbacks[0]: \"m\" is this model itself, expected another",
        ),
        (
            "[[keys]]",
            "aliases = [\"n\"]\nfallbacks = [\"n\"]\n[[keys]]",
            "models[0].fallbacks[0]: \"n\" is this model itself, expected another",
        ),
        (
            "[[keys]]",
            "[[keys]]\nname = \"other\"\nsecret = \"sk-very-secret\"\n[[keys]]",
            "keys[1].secret: is that of another key, expected one of its own",
        ),
        (
            "[[keys]]",
            "[[keys]]\nname = \"other\"\nsecret = \"sk-schön\"\n[[keys]]",
            "keys[0].secret: expected printable ASCII characters, as a header can send them",
        ),
        (
            "[[keys]]",
            &format!(
                "[[keys]]\nname = \"other\"\nsecret = \"{}\"\n[[keys]]",
                "x".repeat(4097)
            ),
            "keys[0].secret: expected at most 4096 characters",
        ),
        (
            "[[keys]]",
            "[[keys]]\nname = \"other\"\nsecret = \"sk-other\"\nmodels = [\"m\", \"\"]\n[[keys]]",
            "keys[0].models[1]: must not be empty",
        ),
        (
            "[[keys]]",
            "[stream]\nkeep_alive_ms = -1\n[[keys]]",
            "stream.keep_alive_ms: expected an integer",
        ),
    ];
    for (good, bad, expected) in wrong {
        assert!(GOOD.contains(good), "{good}");
        let said = refused(&GOOD.replacen(good, bad, 1));
        assert!(said.contains(expected), "{expected}\n{said}");
        assert!(!said.contains("sk-very-secret"), "{said}");
    }
}

#[test]
fn one_mistake_is_told_once() {
    for (good, bad, expected) in [
        (
            "[[keys]]",
            "price = { input = 0.15 }\n[[keys]]",
            "models[0].price.input: expected a string, got a float\n",
        ),
        (
            "[[keys]]",
            "price = \"0.15\"\n[[keys]]",
            "models[0].price: expected a table, got a string\n",
        ),
        (
            r#"secret = "sk-very-secret""#,
            "secret = 12345678",
            "keys[0].secret: expected a string, got an integer\n",
        ),
        (
            "[[keys]]",
            "[limits]\nstore = \"redis://\"\n[[keys]]",
            "limits.store: expected memory or redis://…, rediss://…, got \"redis\"\n",
        ),
        (
            "[[keys]]",
            "[[providers]]\nname = \"rock\"\nkind = \"bedrock\"\nregion = \"r\"\naccess_key_id = \"a\"\n\
             secret_access_key = 5\n[[keys]]",
            "providers[1].secret_access_key: expected a string, got an integer\n",
        ),
        (
            r#"secret = "sk-very-secret""#,
            "",
            "keys[0].secret: expected either secret or sha256\n",
        ),
        (
            r#"secret = "sk-very-secret""#,
            "sha256 = \"zz\"\n[[keys]]\nname = \"other\"",
            "keys[0].sha256: a SHA-256 is 64 hexadecimal digits\n\
             keys[1].secret: expected either secret or sha256\n",
        ),
    ] {
        assert!(GOOD.contains(good), "{good}");
        assert_eq!(refused(&GOOD.replacen(good, bad, 1)), expected);
    }
}

#[test]
fn what_is_right_passes_the_check() {
    for kind in [
        "openai",
        "anthropic",
        "gemini",
        "cohere",
        "ollama",
        "bedrock",
        "azure",
    ] {
        let mut text = GOOD.replace(r#"kind = "openai""#, &format!("kind = {kind:?}"));
        if kind != "openai" {
            text = text.replace("/v1", "");
        }
        let (output, said) = run(&text, &["--check"]);
        assert_eq!(output.status.code(), Some(0), "{kind}: {said}");
    }
}

#[test]
fn no_mistake_tells_a_secret() {
    let secret = r#"secret = "sk-very-secret""#;
    let path = std::env::var("PATH").expect("where programs are");
    for broken in [
        r#"secret = "sk-very-secret"#,
        "secret = sk-very-secret",
        r#"secret = "sk-very-secret\q""#,
        "secret = \"sk-very-secret\"\nsecret = \"sk-very-secret\"",
        r#"secret = "sk-very-secret" name = "k""#,
        r#"secret = ["sk-very-secret" "b"]"#,
        r#"secret = "sk-very-secret" = 1"#,
    ] {
        let said = refused(&GOOD.replace(secret, broken));
        assert!(said.starts_with("line 1"), "{said}");
    }
    for (good, bad) in [
        ("http://127.0.0.1:9/v1", "${PATH}"),
        ("http://127.0.0.1:9/v1", "ftp://${PATH}"),
        (r#"kind = "openai""#, r#"kind = "${PATH}""#),
        (r#"provider = "p""#, r#"provider = "x${PATH}""#),
        (
            r#"kind = "openai""#,
            "kind = \"openai\"\nvendor = \"${PATH}\"",
        ),
    ] {
        let said = refused(&GOOD.replace(good, bad));
        assert!(said.contains("${PATH}") && !said.contains(&path), "{said}");
    }
}

const SAMPLE: &str = include_str!("../examples/gateway/gateway.toml");

/// With a key for its provider.
fn sample(text: &str) -> (Option<i32>, String) {
    let (output, said) = run(&text.replace("${OPENAI_API_KEY}", "sk-up"), &["--check"]);
    (output.status.code(), said)
}

#[test]
fn the_file_that_comes_with_the_example_is_taken_with_each_of_its_options() {
    assert_eq!(sample(SAMPLE), (Some(0), String::new()));
    let mut options = 0;
    let lines = SAMPLE.lines().map(|line| {
        let option = line.strip_prefix("# ").filter(|rest| {
            let name = rest.split(" = ").next().unwrap_or_default();
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            // Files that are not there.
            let files = ["file", "litellm", "genai_prices", "root_certificates"];
            rest.contains(" = ") && name.chars().all(is_name) && !files.contains(&name)
        });
        options += usize::from(option.is_some());
        option.unwrap_or(line)
    });
    let all = lines.collect::<Vec<_>>().join("\n");
    let stores = [
        (
            "[ledger]\nstore = \"memory\"",
            "[ledger]\nstore = \"redb:x\"",
        ),
        (
            "[limits]\nstore = \"memory\"",
            "[limits]\nstore = \"redis://h\"",
        ),
    ];
    let all = stores.iter().fold(all, |all, (memory, other)| {
        assert!(all.contains(memory));
        all.replace(memory, other)
    });
    assert!(options > 20, "{options}");
    assert_eq!(sample(&all), (Some(0), String::new()), "{all}");
}

#[test]
fn the_file_that_comes_with_the_example_names_every_key() {
    let said = refused(
        r#"
zzz = 1
body = { zzz = 1 }
ledger = { zzz = 1 }
limits = { zzz = 1 }
prices = { zzz = 1 }
stream = { zzz = 1 }
routing = { zzz = 1 }
cost = { zzz = 1 }
budgets = [{ zzz = 1 }]
providers = [{ zzz = 1 }]
keys = [{ zzz = 1 }]
[[models]]
zzz = 1
targets = [{ zzz = 1, price = { zzz = 1 } }]
price = { zzz = 1 }
parameters = { n = { zzz = 1 } }
"#,
    );
    let known = "zzz: is not a known key, expected one of ";
    let lists: Vec<_> = said
        .lines()
        .filter_map(|it| it.split(known).nth(1))
        .collect();
    assert_eq!(lists.len(), 16, "{said}");
    let words: Vec<_> = SAMPLE
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    for key in lists.iter().flat_map(|list| list.split(", ")) {
        assert!(words.contains(&key), "{key} is not in the file");
    }
}
