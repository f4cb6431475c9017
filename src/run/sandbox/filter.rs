//! The program by which the kernel knows which calls are announced.

use libc::sock_filter;

/// The processor whose numbers of calls are known here, as the kernel names it;
/// 0 for none.
const PROCESSOR: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else {
    0
};

/// Loads a word of what is known of a call.
const LOAD: u16 = 0x20;
/// Goes on elsewhere if the word equals a number.
const IF_EQUAL: u16 = 0x15;
/// Ends with a decision.
const DECIDE: u16 = 0x06;

/// Where the number of a call lies in what is known of it.
const NUMBER: u32 = 0;
/// Where its processor lies.
const ARCHITECTURE: u32 = 4;

/// A program that announces calls with these numbers and allows all others;
/// `None` where the processor is not known, or for too many calls.
///
/// Calls of another processor's programs, such as those of 32 bits, are allowed:
/// nobody watches them, and the rules of the kernel bind them all the same.
pub(super) fn announcing<'a>(calls: impl IntoIterator<Item = &'a i64>) -> Option<Vec<sock_filter>> {
    if PROCESSOR == 0 {
        return None;
    }
    let calls: Vec<u32> = calls.into_iter().map(|call| u32::try_from(*call).ok()).collect::<Option<_>>()?;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let count = u8::try_from(calls.len()).ok()?;
    let mut program = vec![
        step(LOAD, 0, 0, ARCHITECTURE),
        // To the second last step if it is another processor.
        step(IF_EQUAL, 0, count.checked_add(1)?, PROCESSOR),
        step(LOAD, 0, 0, NUMBER),
    ];
    let ahead = (1..=count).rev();
    program.extend(calls.iter().zip(ahead).map(|(call, ahead)| step(IF_EQUAL, ahead, 0, *call)));
    program.push(step(DECIDE, 0, 0, libc::SECCOMP_RET_ALLOW));
    program.push(step(DECIDE, 0, 0, libc::SECCOMP_RET_USER_NOTIF));
    Some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program decides on a call.
    fn decide(program: &[sock_filter], processor: u32, number: u32) -> u32 {
        let (mut at, mut word) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match step.code {
                LOAD => word = if step.k == NUMBER { number } else { processor },
                IF_EQUAL => at += usize::from(if word == step.k { step.jt } else { step.jf }),
                DECIDE => return step.k,
                other => panic!("an unknown step: {other}"),
            }
        }
    }

    #[test]
    fn the_named_calls_of_this_processor_are_announced_and_no_others() {
        let calls = [257, 59, 0];
        let program = announcing(&calls).unwrap();
        for number in 0..500 {
            let announced = decide(&program, PROCESSOR, number) == libc::SECCOMP_RET_USER_NOTIF;
            assert_eq!(announced, calls.contains(&i64::from(number)), "{number}");
            assert_eq!(decide(&program, 0x4000_0003, number), libc::SECCOMP_RET_ALLOW);
        }
    }
}
