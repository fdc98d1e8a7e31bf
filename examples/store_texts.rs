//! The distinct texts that `embed-text` reads in a store, one to a line:
//! `cargo run --example store_texts -- STORE [published|sentence] > texts.txt`.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::path::Path;

use data_process::store::Store;
use data_process::texts::Template;
use humea::plm::passages::Passages;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let store = arguments.first().ok_or("name a store")?;
    let template: Template = arguments.get(1).map_or(Ok(Template::default()), |name| name.parse())?;
    let passages = Passages::of(&Store::open(Path::new(store))?.pair()?, template);
    for text in passages.relations.iter().chain(passages.attributes.iter()) {
        println!("{}", text.replace('\n', " "));
    }
    Ok(())
}
