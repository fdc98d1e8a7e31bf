use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn error_of(text: &str) -> String {
    let file = file(text);
    Layers::of(Some(file.path()), &[], &[]).and_then(|layers| layers.config()).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_a_whole_configuration() {
    Layers::defaults().unwrap().config().unwrap();
}

#[test]
fn the_defaults_list_every_key() {
    let layers = Layers::defaults().unwrap();
    let typed = Value::try_from(layers.config().unwrap()).unwrap();
    let Value::Table(typed) = typed else { panic!("a configuration is a table") };
    let (mut listed, mut typed) = (layers.keys(), keys(&typed));
    listed.sort();
    typed.sort();
    assert_eq!(listed, typed);
}

#[test]
fn later_layers_win() {
    let file = file("[train]\nepochs = 7\nlr = 0.25\n");
    let flag = Flag { key: "train.epochs", name: "--epochs", value: Value::Integer(9) };
    let sets = ["train.lr=0.5".to_owned(), "run.name=a name".to_owned()];
    let config = Layers::of(Some(file.path()), &sets, &[flag]).unwrap().config().unwrap();
    assert_eq!((config.train.epochs, config.train.lr, config.run.name.as_str()), (9, 0.5, "a name"));
}

#[test]
fn a_file_extends_another_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("under.toml"), "[train]\nepochs = 3\nbatch_size = 8\n").unwrap();
    let over = folder.path().join("over.toml");
    std::fs::write(&over, "extends = \"under.toml\"\n[train]\nepochs = 4\n").unwrap();
    let config = Layers::resolved(&over).unwrap();
    assert_eq!((config.train.epochs, config.train.batch_size, config.run.name.as_str()), (4, 8, "over"));
    std::fs::write(&over, "extends = \"over.toml\"\n").unwrap();
    assert!(matches!(Layers::resolved(&over), Err(ConfigError::Circular { .. })));
    std::fs::write(&over, "extends = \"nowhere.toml\"\n").unwrap();
    let missing = Layers::resolved(&over).unwrap_err();
    let (said, kind) = (missing.to_string(), missing.kind());
    assert!(kind == Kind::Input && said.contains("over.toml: `extends`") && said.contains("nowhere.toml"), "{said}");
    std::fs::write(&over, "extends = 3\n").unwrap();
    assert!(matches!(Layers::resolved(&over), Err(ConfigError::Extends { .. })));
}

#[test]
fn an_unknown_key_is_told_its_neighbours_and_its_file() {
    let text = error_of("[train]\nepoch = 3\n");
    assert!(text.contains("`train.epoch`") && text.contains("`train.epochs`") && text.contains(".toml"), "{text}");
}

#[test]
fn a_wrong_value_is_traced_to_its_key_and_file() {
    let text = error_of("[train]\nepochs = \"many\"\n");
    assert!(text.contains("`train.epochs`") && !text.contains("defaults.toml"), "{text}");
    for rate in ["0", "1.5", "1", "-0.1", "nan"] {
        let text = error_of(&format!("[split]\nrate = {rate}\n"));
        assert!(text.contains("`split.rate`") && text.contains("between 0 and 1"), "{text}");
    }
    for share in ["1", "-0.1", "nan"] {
        let text = error_of(&format!("[split]\nvalidation = {share}\n"));
        assert!(text.contains("`split.validation`") && text.contains("at least 0 and less than 1"), "{text}");
    }
    Layers::of(None, &["split.validation=0".to_owned()], &[]).unwrap().config().unwrap();
}

#[test]
fn what_cannot_be_trained_with_is_refused() {
    let text = error_of("[model.fusion]\nper_entity = true\nties = \"as_published\"\n");
    assert!(text.contains("`model.fusion`") && text.contains("per_entity needs ties = \"lowest\""), "{text}");
    let text = error_of("[train.curriculum]\npairs = [5, 4]\n");
    assert!(text.contains("`train.curriculum`") && text.contains("`pairs`") && text.contains("2 for 5"), "{text}");
    assert!(!text.contains("defaults.toml"), "{text}");
    for modalities in ["", "\"image\", \"relation\""] {
        let text = error_of(&format!("[inputs]\nmodalities = [{modalities}]\n"));
        assert!(text.contains("`inputs.modalities`") && text.contains(modalities), "{text}");
        assert!(text.contains("model.ablated"), "{text}");
    }
    let unnamed = Layers::defaults().unwrap().config().unwrap().store().unwrap_err().to_string();
    assert!(unnamed.contains("`data.store`") && unnamed.contains("--store"), "{unnamed}");
}

/// Of every key that holds numbers: what is refused, and what just is not.
const NUMBERS: &[(&str, &[&str], &[&str])] = &[
    ("align.csls_k", &["0", "-1"], &["1"]),
    ("evaluate.csls_k", &["0", "-1"], &["1"]),
    ("evidence.weight", &["-0.1", "nan", "inf"], &["0"]),
    ("expected.hits_at_1", &[], &["nan"]),
    ("expected.hits_at_10", &[], &["nan"]),
    ("expected.mrr", &[], &["nan"]),
    ("inputs.attribute_columns", &["0", "-1", "1000001"], &["1", "1000000"]),
    ("inputs.relation_columns", &["0", "-1", "1000001"], &["1", "1000000"]),
    ("loss.lambda_contrastive", &["-0.1", "nan", "inf"], &["0"]),
    ("loss.lambda_decoupling", &["-1e-9", "nan", "inf"], &["0"]),
    ("loss.lambda_distillation", &["-0.1", "nan", "inf"], &["0"]),
    ("loss.tau_contrastive", &["0", "0.0029", "-0.1", "nan", "inf"], &["0.003", "1"]),
    ("loss.tau_distillation", &["0", "0.0029", "-4.0", "nan", "inf"], &["0.003", "1"]),
    ("model.dim", &["0", "1", "-1", "65537"], &["2", "65536"]),
    ("model.experts.count", &["0", "1", "-1"], &["2"]),
    ("model.experts.initial_std", &["0.0", "-0.1", "nan", "inf"], &["1e-3"]),
    ("model.experts.noise_floor", &["-0.1", "nan", "inf"], &["0"]),
    ("model.fusion.query_dim", &["-1"], &["0"]),
    ("model.fusion.top_k", &["-1"], &["0"]),
    ("model.graph.heads", &["0", "-1"], &["1"]),
    ("model.graph.layers", &["-1"], &["0"]),
    ("model.graph.negative_slope", &["-0.1", "nan", "inf"], &["0"]),
    ("model.propagation.own", &["-0.1", "1.1", "nan"], &["0", "1"]),
    ("model.propagation.rounds", &["-1"], &["0"]),
    ("pseudo_labels.csls_k", &["0", "-1"], &["1"]),
    ("pseudo_labels.every", &["0", "-1"], &["1"]),
    ("pseudo_labels.least_score", &["nan"], &["-inf"]),
    ("pseudo_labels.start", &["-1"], &["0"]),
    ("run.seed", &["-1"], &["0"]),
    ("split.rate", &["0", "1", "-0.1", "nan"], &["0.5"]),
    ("split.seed", &["-1"], &["0"]),
    ("split.validation", &["1", "-0.1", "nan"], &["0", "0.5"]),
    ("train.batch_size", &["0", "-1"], &["1"]),
    ("train.checkpoint_every", &["0", "-1"], &["1"]),
    ("train.checkpoint_seconds", &["-0.1", "nan", "inf"], &["0", "0.5"]),
    ("train.curriculum.epochs", &["[0, 50, 100, 150, -1]"], &["[0, 1, 2, 3, 4]"]),
    ("train.curriculum.pairs", &["[5, 4, 3, 2, -1]"], &["[0, 0, 0, 0, 0]"]),
    ("train.curriculum.until", &["-1"], &["0"]),
    ("train.epochs", &["0", "-1"], &["1"]),
    ("train.evaluate_every", &["0", "-1"], &["1"]),
    ("train.lr", &["0", "-1.0", "nan", "inf"], &["1e-9"]),
    ("train.weight_decay", &["-0.1", "nan", "inf"], &["0"]),
];

fn is_of_numbers(value: &Value) -> bool {
    match value {
        Value::Integer(_) | Value::Float(_) => true,
        Value::Array(items) => !items.is_empty() && items.iter().all(is_of_numbers),
        _ => false,
    }
}

#[test]
fn every_number_is_checked_and_told_with_its_key() {
    let layers = Layers::defaults().unwrap();
    let mut of_numbers: Vec<String> = layers.keys();
    of_numbers.retain(|key| is_of_numbers(layers.value(key).unwrap()));
    of_numbers.sort();
    assert_eq!(of_numbers, NUMBERS.iter().map(|(key, ..)| *key).collect::<Vec<_>>());
    for (key, refused, taken) in NUMBERS {
        let with = |value: &str| Layers::of(None, &[format!("{key}={value}")], &[]).unwrap().config();
        for value in *refused {
            let text = with(value).unwrap_err().to_string();
            let last = value.rsplit(' ').next().unwrap_or_default().trim_end_matches(']');
            let told = text.starts_with("--set: ") && text.contains(&format!("`{key}"));
            let said = text.to_lowercase().contains(last.trim_end_matches(".0"));
            assert!(told && (said || last.contains('e')), "{key} = {value}: {text}");
        }
        for value in *taken {
            with(value).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn types_are_named_in_plain_words() {
    for (text, words) in [
        ("[train]\nepochs = \"abc\"\n", "expected a whole number, 0 or more"),
        ("[train]\nlr = \"abc\"\n", "expected a number"),
        ("[evaluate]\ncsls = 1\n", "expected true or false"),
        ("[model]\nablated = \"image\"\n", "expected a list, such as [\"image\"]"),
        ("[run]\nname = 3\n", "expected a text, in quotes"),
        ("[data]\nstore = 3\n", "expected a path, in quotes"),
        ("[split]\nseed = 1.5\n", "expected a whole number from 0 to 4294967295"),
    ] {
        let said = error_of(text);
        assert!(said.ends_with(words), "{said}");
    }
}

#[test]
fn a_key_in_quotes_is_told_from_the_one_it_looks_like() {
    let said = error_of("\"train.lr\" = 3\n");
    assert!(said.contains("no key `\"train.lr\"`") && said.contains("are `train.lr`"), "{said}");
}

#[test]
fn a_run_has_the_name_of_a_file() {
    for name in ["../../x", "", ".", "..", "a/b", "a/", "/a"] {
        let said = error_of(&format!("[run]\nname = {name:?}\n"));
        assert!(said.contains("`run.name`") && said.contains("without a path"), "{said}");
    }
    Layers::of(None, &["run.name=a.b c".to_owned()], &[]).unwrap().config().unwrap();
}

#[test]
fn only_what_takes_part_can_be_ablated() {
    let said = error_of("[inputs]\nmodalities = [\"graph\", \"image\"]\n[model]\nablated = [\"relation\"]\n");
    assert!(said.contains("`model.ablated`") && said.contains("relation") && !said.contains("defaults"), "{said}");
}

#[test]
fn the_other_mistakes_are_named() {
    assert!(error_of("[train\n").contains("line 1"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"# a line\n\xff\n").unwrap();
    let binary = Layers::of(Some(file.path()), &[], &[]).unwrap_err();
    assert!(matches!(binary, ConfigError::Syntax { line: 2, .. }), "{binary}");
    assert!(error_of("train = 3\n").contains("section"));
    assert!(error_of("[train.epochs]\na = 1\n").contains("value"));
    let missing = Layers::of(Some(Path::new("no/such.toml")), &[], &[]).unwrap_err();
    assert!(matches!(missing, ConfigError::Read { .. }) && missing.kind() == Kind::Input);
    assert!(matches!(Layers::of(None, &["epochs".to_owned()], &[]), Err(ConfigError::Set { .. })));
}
