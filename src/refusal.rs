//! libtorch's refusals in a line. Its errors carry a C++ stack, and the binding's plain calls panic with them.

use std::any::Any;

/// What comes before libtorch's words where a call of the binding panicked.
const UNWRAPPED: &str = "Torch(\"";

/// Where the C++ stack begins; a panic shows its line ends as `\n`.
const STACKS: [&str; 2] = ["\nException raised from ", "\\nException raised from "];

/// An error's words without a C++ stack.
pub fn without_stack(words: &str) -> &str {
    let end = STACKS.iter().filter_map(|stack| words.find(stack)).min();
    &words[..end.unwrap_or(words.len())]
}

/// What libtorch said, if a panic was its.
pub fn of_panic(panic: &(dyn Any + Send)) -> Option<String> {
    let words = words(panic);
    let (_, said) = words.split_once(UNWRAPPED)?;
    let alone = without_stack(said);
    let alone = if alone.len() == said.len() { said.strip_suffix("\")").unwrap_or(said) } else { alone };
    Some(alone.replace("\\n", " ").replace("\\\"", "\""))
}

/// The first line of a panic's message, libtorch's own words where they are its.
pub fn message(panic: &(dyn Any + Send)) -> String {
    let first = |words: &str| words.lines().next().unwrap_or("for an unknown reason").to_owned();
    of_panic(panic).unwrap_or_else(|| first(words(panic)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANIC: &str = "called `Result::unwrap()` on an `Err` value: Torch(\"CUDA out of memory. Tried \\\"much\\\"\\n\
        Exception raised from malloc at x.cpp:7\\nframe #0: c10::Error\")";

    #[test]
    fn a_panic_of_the_binding_is_told_from_others_and_loses_its_stack() {
        let thrown: Box<dyn Any + Send> = Box::new(PANIC.to_owned());
        assert_eq!(of_panic(&*thrown).as_deref(), Some("CUDA out of memory. Tried \"much\""));
        assert_eq!(message(&*thrown), "CUDA out of memory. Tried \"much\"");
        let without: Box<dyn Any + Send> = Box::new("called on an `Err` value: Torch(\"not \\\"that\\\"\")".to_owned());
        assert_eq!(of_panic(&*without).as_deref(), Some("not \"that\""));
        let other: Box<dyn Any + Send> = Box::new("bad luck\nat length");
        assert_eq!((of_panic(&*other), message(&*other).as_str()), (None, "bad luck"));
    }

    #[test]
    fn an_error_loses_its_stack_and_keeps_the_rest() {
        assert_eq!(without_stack("no kernel\nException raised from f\nframe #0"), "no kernel");
        assert_eq!(without_stack("no kernel"), "no kernel");
    }
}
