use std::{collections::BTreeSet, fs, path::Path};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

use super::Cli;

/// A flag of the server's that a command has once more would be taken for both.
#[test]
fn no_command_has_a_flag_of_the_server_for_something_else() {
    fn walk(command: &clap::Command, inherited: &BTreeSet<String>, path: &str) {
        let path = format!("{path} {}", command.get_name());
        let mut known = inherited.clone();
        for argument in command.get_arguments() {
            let names = [Some(argument.get_id().to_string()), argument.get_long().map(str::to_owned)];
            for name in names.into_iter().flatten() {
                assert!(!inherited.contains(&name), "{path} has {name} once more");
                if argument.is_global_set() {
                    known.insert(name);
                }
            }
        }
        command.get_subcommands().for_each(|inner| walk(inner, &known, &path));
    }
    Cli::command().debug_assert();
    walk(&Cli::command(), &BTreeSet::new(), "");
}

/// Commands in fences and in code spans of a document; what is said about a command in general ends in an ellipsis.
fn commands(text: &str) -> Vec<String> {
    let whole = |line: &str| line.starts_with("passbridge ") && !line.contains('…');
    let mut found = Vec::new();
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 1 {
            found.extend(part.lines().map(str::trim).filter(|line| whole(line)).map(str::to_owned));
        } else {
            let spans = part.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " "));
            found.extend(spans.filter(|span| whole(span)));
        }
    }
    found
}

#[test]
fn the_commands_of_the_documents_are_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let connectors = fs::read_dir(root.join("crates/connectors/src")).unwrap();
    let mut documents: Vec<_> = connectors.map(|entry| entry.unwrap().path().join("README.md")).collect();
    documents.retain(|document| document.exists());
    documents.push(root.join("README.md"));
    let mut tried = 0;
    for document in documents {
        for command in commands(&fs::read_to_string(&document).unwrap()) {
            // A command that is only named lacks what it takes; one that goes on in the next line is tried by its own test.
            let Some(mut words) = shlex::split(&command) else { continue };
            // Where its output goes is the shell's affair.
            if let Some(at) = words.iter().position(|word| word == ">") {
                words.truncate(at);
            }
            if let Err(error) = Cli::try_parse_from(&words) {
                let named = [
                    ErrorKind::MissingRequiredArgument,
                    ErrorKind::MissingSubcommand,
                    ErrorKind::DisplayHelp,
                    ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                ];
                assert!(named.contains(&error.kind()), "{}: {command}\n{error}", document.display());
            }
            tried += 1;
        }
    }
    assert!(tried > 60, "only {tried} commands were found");
}

/// What the command line lets one choose is what the API takes.
#[test]
fn choices_are_those_of_the_api() {
    let document = http_server::openapi();
    for (path, argument, schema) in [
        (&["flow", "map", "targets"][..], "action", "MappingAction"),
        (&["flow", "map", "suggest"], "action", "MappingAction"),
        (&["flow", "map", "test"], "action", "MappingAction"),
        (&["batch", "run"], "operation", "BatchOperation"),
        (&["batch", "run"], "format", "BatchFormat"),
        (&["batch", "run"], "if_exists", "BatchIfExists"),
        (&["message", "send"], "channel", "MessageChannel"),
    ] {
        let mut command = Cli::command();
        command.build();
        let found = path.iter().try_fold(&command, |command, name| command.find_subcommand(name)).unwrap();
        let found = found.get_arguments().find(|it| it.get_id() == argument).unwrap();
        let choices: BTreeSet<String> = found.get_possible_values().iter().map(|it| it.get_name().to_owned()).collect();
        let taken = &document["components"]["schemas"][schema]["enum"];
        let taken: BTreeSet<String> = serde_json::from_value(taken.clone()).unwrap_or_default();
        assert!(!taken.is_empty() && choices == taken, "{path:?} {argument}: {choices:?}, {schema}: {taken:?}");
    }
}
