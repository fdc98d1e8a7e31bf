//! Whatever is wrong: one clear line, the documented exit code, and nothing changed or left behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use data_process::store::Store;
use tempfile::TempDir;

use crate::humea;

/// A folder with a small store in it, among files that are wrong in many ways.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        let prep =
            ["--quiet", "prep", "synthetic", "--entities", "120", "--seed", "5", "--out", &bench.at("good.parquet")];
        humea(&prep).assert().success();
        let good = fs::read(bench.at("good.parquet")).unwrap();
        bench.write("cut.parquet", &good[..good.len() / 2]);
        for end in ["parquet", "npy", "nt", "toml", "txt", "safetensors", "h5", "pkl", "png"] {
            bench.write(&format!("empty.{end}"), b"");
            bench.write(&format!("garbage.{end}"), &garbage());
        }
        fs::create_dir(bench.at("folder")).unwrap();
        bench
    }

    /// The same with a run of one epoch in `run`.
    fn with_run() -> Self {
        let bench = Self::new();
        bench.succeeds("train --device cpu --epochs 1 --store good.parquet --run-dir run");
        bench
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.at(name), content).unwrap();
    }

    /// Every file below the folder, with its content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files_below(self.folder.path())
    }

    /// A command line, run within the folder.
    fn command(&self, line: &str) -> assert_cmd::Command {
        let mut command = humea(&line.split(' ').collect::<Vec<_>>());
        command.current_dir(self.folder.path());
        command
    }

    fn succeeds(&self, line: &str) {
        self.command(line).assert().success();
    }

    /// Runs a command, which must fail with this code, say all these words, and change no file; what it said.
    fn fails(&self, line: &str, code: i32, words: &[&str]) -> String {
        let before = self.files();
        let output = self.command(line).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "humea {line}:\n{said}");
        for word in words {
            assert!(said.contains(word), "humea {line}: {word:?} is not in\n{said}");
        }
        assert!(!said.contains("panicked"), "humea {line}:\n{said}");
        assert!(before == self.files(), "humea {line}: a file was changed or left behind");
        said
    }

    /// The same, and the error is one line, the last.
    fn refuses(&self, line: &str, code: i32, words: &[&str]) {
        let said = self.fails(line, code, words);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "humea {line}: one error line, not\n{said}");
        assert_eq!(said.lines().last(), errors.last().copied(), "humea {line}: the error is the last line:\n{said}");
        for word in words {
            assert!(errors[0].contains(word), "humea {line}: {word:?} is not in\n{said}");
        }
    }
}

/// Bytes of no format, the same in every run.
fn garbage() -> Vec<u8> {
    (1..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let of = |path: PathBuf| {
        if path.is_dir() { files_below(&path) } else { [(path.clone(), fs::read(path).unwrap())].into() }
    };
    fs::read_dir(folder).unwrap().flat_map(|entry| of(entry.unwrap().path())).collect()
}

/// Every command that reads a store, `STORE` standing for it.
const READERS: [&str; 14] = [
    "inspect STORE",
    "store inspect STORE",
    "store validate STORE",
    "store add-column STORE image --from good.parquet",
    "store add-column good.parquet image --from STORE",
    "store drop-column STORE image",
    "store split STORE --parts 2 --out parts",
    "store merge STORE --out merged.parquet",
    "store convert STORE --out converted.parquet",
    "store export STORE --format npy --out exported",
    "import-vectors --store STORE --modality image --from good.parquet",
    "embed-text --plm hashing --store STORE",
    "embed-image --store STORE --images folder --model garbage.safetensors --device cpu",
    "train --device cpu --epochs 1 --store STORE --run-dir new-run",
];

#[test]
fn what_is_no_store_is_named_by_every_command_that_reads_one() {
    let bench = Bench::with_run();
    let of_a_run = ["evaluate --run run --store STORE", "align --run run --out pairs.csv --store STORE"];
    let wrong = [("nowhere.parquet", 3), ("empty.parquet", 4), ("garbage.parquet", 4)];
    for line in READERS.iter().chain(&of_a_run) {
        for (store, code) in wrong {
            // `convert` takes a file of any maker.
            let helps = if line.contains("convert") && code == 3 { "name a Parquet file" } else { "`humea prep`" };
            bench.refuses(&line.replace("STORE", store), code, &[store, helps]);
        }
    }
    bench.refuses("inspect cut.parquet", 4, &["cut.parquet", "`humea prep`"]);
}

#[test]
fn a_folder_without_parts_is_no_store() {
    let bench = Bench::new();
    for line in READERS {
        bench.refuses(&line.replace("STORE", "folder"), 3, &["folder", "part-*.parquet"]);
    }
}

#[test]
fn a_missing_or_foreign_run_folder_is_named() {
    let bench = Bench::new();
    for run in ["nowhere", "folder", "good.parquet"] {
        bench.refuses(&format!("evaluate --run {run}"), 3, &[run, "`humea train`"]);
        bench.refuses(&format!("align --run {run} --out pairs.csv"), 3, &[run, "`humea train`"]);
        bench.refuses(&format!("train --resume --run-dir {run}"), 3, &[run, "`humea train`"]);
    }
    bench.refuses("train --resume --store nowhere.parquet", 3, &["nowhere.parquet"]);
    bench.refuses("train --resume", 5, &["--run-dir"]);
}

#[test]
fn a_store_of_another_pair_does_not_fit_a_run() {
    let bench = Bench::with_run();
    bench.succeeds("--quiet prep synthetic --entities 100 --seed 6 --out other.parquet");
    for line in ["evaluate --run run --store other.parquet", "align --run run --out pairs.csv --store other.parquet"] {
        bench.refuses(line, 4, &["other.parquet", "fingerprint", "train anew"]);
    }
    let shards = "store merge good.parquet other.parquet --out joined.parquet";
    bench.refuses(shards, 4, &["good.parquet", "--shard"]);
    bench.refuses("store add-column good.parquet nothing --from other.parquet", 5, &["other.parquet", "image"]);
}

#[test]
fn a_pair_without_links_cannot_be_trained_on() {
    let bench = Bench::new();
    for side in ["l", "r"] {
        let triple = |head, tail| format!("<http://{side}/{head}> <http://{side}/knows> <http://{side}/{tail}> .\n");
        bench.write(&format!("{side}.nt"), (triple("a", "b") + &triple("b", "c")).as_bytes());
    }
    bench.succeeds("--quiet prep rdf --left l.nt --right r.nt --out unlinked.parquet");
    bench.refuses("train --device cpu --store unlinked.parquet --run-dir new-run", 4, &["no links", "seeds"]);
}

#[test]
fn a_link_to_an_unknown_entity_is_told_with_its_line() {
    let bench = Bench::new();
    bench.write("l.nt", b"<http://l/a> <http://l/knows> <http://l/b> .\n");
    bench.write("r.nt", b"<http://r/a> <http://r/knows> <http://r/b> .\n");
    bench.write("links.tsv", b"http://l/a\thttp://r/a\nhttp://l/a\thttp://r/nobody\n");
    let prep = "prep rdf --left l.nt --right r.nt --links links.tsv --out pair.parquet";
    bench.refuses(prep, 4, &["links.tsv:2", "http://r/nobody", "same pair"]);
    bench.write("ids.tsv", b"0\t120\n0\t9999\n");
    let train = "train --device cpu --store good.parquet --run-dir new-run";
    bench.refuses(&format!("{train} --train-links ids.tsv"), 4, &["ids.tsv, link 2", "9999", "below 240"]);
    bench.write("split.tsv", b"nobody\tnothing\n");
    bench.refuses(&format!("{train} --split-file split.tsv"), 4, &["split.tsv:1", "nobody"]);
}

#[test]
fn links_that_cannot_be_read_are_named() {
    let bench = Bench::new();
    let train = "train --device cpu --store good.parquet --run-dir new-run";
    for (file, code) in
        [("nowhere.txt", 3), ("empty.txt", 4), ("garbage.txt", 4), ("garbage.npy", 4), ("garbage.parquet", 4)]
    {
        bench.refuses(&format!("{train} --train-links {file}"), code, &[file]);
    }
    for file in ["nowhere.txt", "garbage.txt"] {
        bench.refuses(&format!("{train} --initial {file}"), 3, &[file, "safetensors"]);
    }
    for (file, code) in [("empty.txt", 4), ("garbage.txt", 4)] {
        bench.refuses(&format!("{train} --split-file {file}"), code, &[file]);
    }
    for file in ["nowhere.txt", "folder"] {
        bench.refuses(&format!("{train} --split-file {file}"), 3, &[file, "train_links", "a published split is"]);
    }
}

#[test]
fn numbers_out_of_range_are_refused_before_anything_is_written() {
    let bench = Bench::new();
    let train = "train --device cpu --store good.parquet --run-dir new-run";
    for rate in ["0", "1", "1.5", "-0.2", "nan"] {
        bench.refuses(&format!("{train} --rate {rate}"), 5, &["--rate", "between 0 and 1"]);
    }
    for option in ["--lr 0", "--lr -1", "--lr nan", "--lr inf", "--epochs 0", "--batch-size 0"] {
        bench.refuses(&format!("{train} {option}"), 5, &[option.split(' ').next().unwrap(), "must be"]);
    }
    let grow = "prep synthetic --out world.parquet";
    bench.refuses(&format!("{grow} --entities 1"), 5, &["entities"]);
    bench.refuses(&format!("{grow} --entities 200 --unlinked 1.5"), 5, &["unlinked"]);
    bench.fails("store split good.parquet --parts 0 --out parts", 2, &["--parts"]);
    bench.fails("embed-text --store good.parquet --plm hashing --shard 3/2", 2, &["i/n"]);
    for option in ["--pooling mean", "--max-length 9", "--dtype bf16"] {
        let line = format!("embed-text --store good.parquet --plm hashing {option}");
        bench.refuses(&line, 5, &[option.split(' ').next().unwrap(), "hashing"]);
    }
    bench.fails("inspect good.parquet --texts -1", 2, &["-1"]);
}

#[test]
fn an_unknown_key_names_its_neighbours() {
    let bench = Bench::new();
    let train = "train --device cpu --store good.parquet --run-dir new-run";
    let words = ["`train.epoch`", "`train.epochs`", "pipelines/defaults.toml"];
    bench.refuses(&format!("{train} --set train.epoch=3"), 5, &words);
    bench.refuses(&format!("{train} --set nonsense"), 5, &["key=value"]);
    bench.refuses(&format!("{train} --set train.epochs=many"), 5, &["`train.epochs`", "many"]);
    bench.write("wrong.toml", b"[data]\nstore = \"good.parquet\"\n[train]\nepoch = 3\n");
    bench.refuses(&format!("{train} --config wrong.toml"), 5, &[&["wrong.toml"], &words[..]].concat());
    bench.refuses("run wrong.toml --out runs", 5, &[&["wrong.toml"], &words[..]].concat());
}

#[test]
fn a_configuration_that_is_none_is_named() {
    let bench = Bench::new();
    for command in ["train --device cpu --store good.parquet --run-dir new-run --config", "run --out runs"] {
        bench.refuses(&format!("{command} nowhere.toml"), 3, &["nowhere.toml"]);
        bench.refuses(&format!("{command} folder"), 3, &["folder"]);
        bench.refuses(&format!("{command} garbage.toml"), 5, &["garbage.toml, line 1"]);
    }
    // An empty file changes nothing of the defaults, which name no store.
    bench.refuses("run empty.toml --out runs", 5, &["empty", "data.store"]);
    bench.refuses("train --device cpu --run-dir new-run", 5, &["data.store", "--store", "`humea prep`"]);
}

#[test]
fn a_plan_that_cannot_be_carried_out_is_refused_before_it_is_begun() {
    let bench = Bench::new();
    for (file, text, code, words) in [
        (
            "flag",
            "[data]\nstore = \"s.parquet\"\nprep = [\"synthetic\", \"--entitis\", \"9\"]\n",
            5,
            ["data.prep", "--entitis"],
        ),
        ("store", "[data]\nstore = \"s.parquet\"\n", 3, ["s.parquet", "data.prep"]),
        ("sweep", "[data]\nstore = \"good.parquet\"\n[sweep]\nkey = \"train.lr\"\n", 5, ["sweep.values", "train.lr"]),
        ("name", "[data]\nstore = \"good.parquet\"\n[run]\nname = \"../../x\"\n", 5, ["run.name", "../../x"]),
    ] {
        bench.write(&format!("{file}.toml"), text.as_bytes());
        for end in ["", " --dry-run"] {
            bench.refuses(&format!("run {file}.toml --out runs{end}"), code, &words);
        }
    }
}

#[test]
fn a_path_that_no_configuration_can_hold_is_refused() {
    use std::os::unix::ffi::OsStrExt;

    let bench = Bench::new();
    let path = Path::new(std::ffi::OsStr::from_bytes(b"bad\xff.parquet"));
    fs::copy(bench.at("good.parquet"), bench.folder.path().join(path)).unwrap();
    for flag in ["--store", "--split-file", "--initial", "--train-links"] {
        let output = bench.command(&format!("train {flag}")).arg(path).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains(flag) && said.contains("not UTF-8"), "{said}");
    }
}

#[test]
fn a_checkpoint_that_is_gone_is_named_with_what_helps() {
    let bench = Bench::with_run();
    let best = "run/checkpoints/best.safetensors";
    fs::rename(bench.at(best), bench.at("aside")).unwrap();
    bench.refuses("evaluate --run run", 3, &[best, "is gone", "--overwrite"]);
    fs::remove_file(bench.at("run/result.json")).unwrap();
    let resumed = bench.command("train --resume --run-dir run").assert().code(3);
    let said = String::from_utf8_lossy(&resumed.get_output().stderr).into_owned();
    assert!(said.contains("best.safetensors is gone") && !said.contains("--resume"), "{said}");
    fs::rename(bench.at("run/checkpoints"), bench.at("elsewhere")).unwrap();
    bench.refuses("evaluate --run run", 3, &[best, "train --resume --run-dir run"]);
}

#[test]
fn figures_are_shown_where_the_run_folder_cannot_be_written() {
    let bench = Bench::with_run();
    fs::remove_file(bench.at("run/result.json")).unwrap();
    fs::create_dir(bench.at("run/result.json")).unwrap();
    fs::write(bench.at("run/result.json/in the way"), "").unwrap();
    let shown = bench.command("evaluate --run run").assert().success().get_output().clone();
    let (figures, said) = (String::from_utf8(shown.stdout).unwrap(), String::from_utf8(shown.stderr).unwrap());
    assert!(figures.contains("H@1") && said.contains("not kept") && said.contains("result.json"), "{figures}{said}");
}

#[test]
fn a_run_goes_on_as_it_was_begun_or_is_told_what_differs() {
    let bench = Bench::with_run();
    let other = "train --device cpu --epochs 2 --store good.parquet --run-dir run --resume";
    bench.refuses(other, 5, &["`train.epochs` was 1 and is 2", "--run-dir"]);
    fs::rename(bench.at("good.parquet"), bench.at("moved.parquet")).unwrap();
    for line in ["evaluate --run run", "train --resume --run-dir run", "align --run run --out pairs.csv"] {
        bench.refuses(line, 3, &["good.parquet", "give --store PATH"]);
    }
}

#[test]
fn one_run_of_a_sweep_is_said_to_be_one() {
    let bench = Bench::new();
    bench.write("sweep.toml", b"[sweep]\nkey = \"train.lr\"\nvalues = [0.1, 0.2]\n");
    let line = "train --config sweep.toml --device cpu --epochs 1 --store good.parquet --run-dir run";
    let said = bench.command(line).assert().success().get_output().stderr.clone();
    assert!(String::from_utf8(said).unwrap().contains("`humea run`"));
}

#[test]
fn cuda_where_there_is_none_is_code_6() {
    if Path::new("/dev/nvidia0").exists() {
        return; // a machine with a GPU takes it
    }
    let bench = Bench::with_run();
    let store = "--store good.parquet --device cuda";
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plm/bert").display().to_string();
    for line in [
        format!("train {store} --run-dir new-run"),
        format!("embed-text {store} --plm hashing"),
        format!("embed-text {store} --plm {model}"),
        format!("embed-image {store} --images folder --model garbage.safetensors"),
    ] {
        bench.refuses(&line, 6, &["CUDA", "--device cpu"]);
    }
}

#[test]
fn raw_files_that_are_missing_are_listed() {
    let bench = Bench::new();
    let files = ["FB15K_EntityTriples.txt", "DB15K_EntityTriples.txt", "mniepert/mmkb", "--download"];
    bench.refuses("prep mmkb --raw folder --out pair.parquet", 3, &files);
    bench.refuses("prep id-files folder --out pair.parquet", 3, &["ent_ids_1", "triples_2", "--layout openea"]);
    bench.refuses("prep id-files folder --layout openea --out pair.parquet", 3, &["rel_triples_1", "ent_links"]);
    bench.refuses("prep rdf --left no.nt --right none.nt --out pair.parquet", 3, &["no.nt", "none.nt", "--left"]);
}

#[test]
fn raw_files_that_are_wrong_are_named() {
    let bench = Bench::new();
    bench.write("good.nt", b"<http://l/a> <http://l/knows> <http://l/b> .\n");
    bench.write("bad.nt", b"this is no triple\n");
    let rdf = |left: &str| format!("prep rdf --left {left} --right good.nt --out pair.parquet");
    for wrong in ["empty.nt", "garbage.nt", "bad.nt", "garbage.parquet"] {
        bench.refuses(&rdf(wrong), 4, &[wrong]);
    }
    for wrong in ["empty.txt", "garbage.txt"] {
        bench.refuses(&format!("{} --links {wrong}", rdf("good.nt")), 4, &[wrong]);
    }
}

#[test]
fn a_wrong_pair_is_told_the_known_ones() {
    let pairs = ["fb15k-db15k", "fb15k-yago15k"];
    Bench::new().fails("prep mmkb --pair fb15k-wikidata --out pair.parquet", 2, &pairs);
}

#[test]
fn files_of_vectors_that_are_none_are_named() {
    let bench = Bench::new();
    let import = "import-vectors --store good.parquet --modality image --from";
    bench.refuses(&format!("{import} nowhere.npy"), 3, &["nowhere.npy", "check the path"]);
    bench.refuses(&format!("{import} folder"), 3, &["folder"]);
    for end in ["npy", "safetensors", "h5", "pkl", "parquet"] {
        bench.refuses(&format!("{import} empty.{end}"), 4, &[&format!("empty.{end}")]);
        bench.refuses(&format!("{import} garbage.{end}"), 4, &[&format!("garbage.{end}")]);
    }
    bench.refuses(&format!("{import} good.parquet --index nowhere.txt"), 3, &["nowhere.txt"]);
    bench.refuses(&format!("{import} good.parquet --index garbage.txt"), 4, &["garbage.txt:1", "TAB"]);
    let add = "store add-column good.parquet image --from";
    for wrong in ["empty.npy", "garbage.npy"] {
        bench.refuses(&format!("{add} {wrong}"), 4, &[wrong, "numpy.save"]);
    }
    bench.refuses(&format!("{add} nowhere.npy"), 3, &["nowhere.npy"]);
    bench.refuses("store drop-column good.parquet imag", 5, &["good.parquet", "`imag`", "image"]);
}

#[test]
fn models_and_images_that_are_none_are_named() {
    let bench = Bench::new();
    let text = "embed-text --device cpu --store good.parquet --plm";
    bench.refuses(&format!("{text} ./nowhere"), 3, &["./nowhere", "repository of the Hub"]);
    bench.refuses(&format!("{text} ./good.parquet"), 3, &["./good.parquet", "name a folder"]);
    bench.refuses(&format!("{text} folder"), 3, &["folder", "config.json"]);
    bench.refuses(&format!("{text} nobody/nothing"), 7, &["nobody/nothing", "HF_HUB_OFFLINE"]);

    let uri = Store::open(Path::new(&bench.at("good.parquet"))).unwrap().uris().unwrap()[0].clone();
    bench.write("index.tsv", format!("{uri}\tgarbage\n").as_bytes());
    fs::create_dir(bench.at("images")).unwrap();
    fs::rename(bench.at("garbage.png"), bench.at("images/garbage.png")).unwrap();
    bench.refuses("embed-text --device cpu --store nowhere.parquet --plm nobody/nothing", 3, &["nowhere.parquet"]);
    for (store, images) in [("nowhere.parquet", "images"), ("good.parquet", "nowhere")] {
        let line = format!("embed-image --device cpu --store {store} --images {images} --model nobody/nothing");
        bench.refuses(&line, 3, &["nowhere"]);
    }
    let weights = "embed-image --device cpu --store good.parquet --images images --model nowhere.safetensors";
    bench.refuses(weights, 3, &["nowhere.safetensors", "vgg16"]);
    let image = "embed-image --device cpu --store good.parquet --index index.tsv";
    for (weights, code) in
        [("nowhere.safetensors", 3), ("empty.safetensors", 4), ("garbage.safetensors", 4), ("folder", 3)]
    {
        bench.refuses(&format!("{image} --images images --model {weights}"), code, &[weights]);
    }
    let of = |images: &str| format!("{image} --images {images} --model garbage.safetensors");
    bench.refuses(&of("nowhere"), 3, &["nowhere", "--images"]);
    bench.refuses(&of("good.parquet"), 3, &["good.parquet", "--images"]);
    bench.refuses(&of("folder"), 4, &["folder", "jpg"]);
}

#[test]
fn what_lies_there_already_is_not_lost() {
    let bench = Bench::with_run();
    bench.refuses("prep synthetic --entities 100 --out good.parquet", 8, &["good.parquet", "--force"]);
    bench.refuses("train --device cpu --store good.parquet --run-dir run", 5, &["run", "--resume", "--overwrite"]);
    bench.refuses("store split good.parquet --parts 2 --out empty.txt", 8, &["empty.txt", "--out"]);
    bench.refuses("store convert good.parquet --out cut.parquet", 8, &["cut.parquet", "--out"]);
    bench.succeeds("prep synthetic --entities 120 --seed 9 --out other.parquet");
    bench.refuses("train --resume --run-dir run --store other.parquet", 4, &["other.parquet", "fingerprint"]);
    bench.succeeds("store split good.parquet --parts 2 --out parts");
    bench.refuses("store merge parts --out cut.parquet", 8, &["cut.parquet", "--out"]);
}

#[test]
fn what_cannot_be_written_is_code_8() {
    let bench = Bench::with_run();
    // Below a file, which not even root can write.
    bench.refuses("prep synthetic --entities 100 --out empty.txt/pair.parquet", 8, &["empty.txt", "--out"]);
    for (line, word) in [
        ("train --device cpu --store good.parquet --run-dir empty.txt/run", "empty.txt/run"),
        ("align --run run --out empty.txt/pairs.csv", "empty.txt"),
        ("align --run run --out empty.txt/pairs.parquet", "--out names another place"),
        ("store split good.parquet --parts 2 --out empty.txt/parts", "empty.txt/parts"),
        ("store convert good.parquet --out empty.txt/converted.parquet", "empty.txt/converted.parquet"),
        ("store export good.parquet --format npy --out empty.txt/exported", "empty.txt/exported"),
        ("run run/config.toml --out empty.txt/runs", "empty.txt/runs"),
    ] {
        bench.refuses(line, 8, &[word]);
    }
    bench.refuses("align --run run --out pairs.txt", 5, &["pairs.txt", ".parquet, .csv or .nt"]);
}
