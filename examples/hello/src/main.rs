//! Greets who is named.

use std::process::ExitCode;

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let greeting = std::env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned());
    match names.as_slice() {
        [] => println!("{}", greet(&greeting, "you")),
        [name] => println!("{}", greet(&greeting, name)),
        _ => {
            eprintln!("hello takes at most one name");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn greet(greeting: &str, name: &str) -> String {
    format!("{greeting}, {name}!")
}

#[cfg(test)]
mod tests {
    use super::greet;

    #[test]
    fn a_greeting_names_who_is_greeted() {
        assert_eq!(greet("Hello", "world"), "Hello, world!");
    }
}
