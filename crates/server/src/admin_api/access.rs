//! Who is let in: two tokens, and a brake for those who guess.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap};
use libra_core::secret::ApiKey;
use libra_core::time::Timestamp;
use zeroize::Zeroizing;

use super::problem::Problem;
use crate::store::private;

/// So many wrong tokens an address may show at once; then as many as come in by [`A_GUESS`].
const GUESSES: f64 = 10.0;

/// How long it takes until an address may guess once more. A token of 16 characters that chance has made outlives that by
/// ages; a person who has mistyped one waits for a moment.
const A_GUESS: Duration = Duration::from_secs(2);

/// So many addresses are remembered for it. Where there are more, those that guessed least lately are forgotten.
const ADDRESSES: usize = 10_000;

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 512;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// To look.
    Reader,
    /// All.
    Administrator,
}

/// The tokens, and who has shown wrong ones.
pub(crate) struct Access {
    token: ApiKey,
    reading: Option<ApiKey>,
    guesses: Mutex<HashMap<IpAddr, Guesses>>,
    /// The same for tokens that are asked for once more: who gets there has shown one already.
    confirmations: Mutex<HashMap<IpAddr, Guesses>>,
}

/// How many wrong tokens an address may still show, as of when.
struct Guesses {
    left: f64,
    at: Timestamp,
}

impl Access {
    pub(crate) fn new(token: ApiKey, reading: Option<ApiKey>) -> Self {
        Self { token, reading, guesses: Mutex::default(), confirmations: Mutex::default() }
    }

    /// What somebody may do who asks with this head from this address.
    ///
    /// # Errors
    /// No token, a wrong one, or too many wrong ones before: then none is looked at, the right one neither.
    pub(crate) fn role(&self, headers: &HeaderMap, address: IpAddr, now: Timestamp) -> Result<Role, Problem> {
        let Some(shown) = bearer(headers) else { return Err(Problem::unauthorized(NO_TOKEN)) };
        with_guess(&self.guesses, address, now, || {
            // Both are compared, whichever it is.
            let (all, looking) = (shown == self.token, self.reading.as_ref() == Some(&shown));
            match (all, looking) {
                (true, _) => Some(Role::Administrator),
                (false, true) => Some(Role::Reader),
                (false, false) => None,
            }
        })
    }

    /// Whether this is the administrator's token, for what asks for it once more.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn confirm(&self, token: &str, address: IpAddr, now: Timestamp) -> Result<(), Problem> {
        let shown = ApiKey::new(token);
        with_guess(&self.confirmations, address, now, || (shown == self.token).then_some(())).map_err(
            |problem| if problem.is_unauthorized() { Problem::wrong_confirmation() } else { problem },
        )
    }
}

fn with_guess<T>(
    guesses: &Mutex<HashMap<IpAddr, Guesses>>,
    address: IpAddr,
    now: Timestamp,
    look: impl FnOnce() -> Option<T>,
) -> Result<T, Problem> {
    let mut all = guesses.lock().unwrap_or_else(PoisonError::into_inner);
    let left = all.get(&address).map_or(GUESSES, |guesses| guesses.left(now));
    if left < 1.0 {
        let wait = A_GUESS.mul_f64(1.0 - left);
        return Err(Problem::too_many_guesses(wait));
    }
    if let Some(found) = look() {
        return Ok(found);
    }
    if all.len() >= ADDRESSES {
        all.retain(|_, guesses| guesses.left(now) < GUESSES);
    }
    if all.len() >= ADDRESSES
        && let Some(oldest) = all.iter().min_by_key(|(_, guesses)| guesses.at).map(|(address, _)| *address)
    {
        all.remove(&oldest);
    }
    all.insert(address, Guesses { left: left - 1.0, at: now });
    Err(Problem::unauthorized(WRONG_TOKEN))
}

impl Guesses {
    fn left(&self, now: Timestamp) -> f64 {
        let since = now.since(self.at).as_secs_f64() / A_GUESS.as_secs_f64();
        (self.left + since).min(GUESSES)
    }
}

/// The token that a head shows.
fn bearer(headers: &HeaderMap) -> Option<ApiKey> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let fits = scheme.eq_ignore_ascii_case("bearer") && token.len() <= LONGEST && !token.trim().is_empty();
    fits.then(|| ApiKey::new(token))
}

/// The token in a file of the data folder, which is made if it is not there, for its owner's eyes alone. And whether it was
/// made now.
///
/// # Errors
/// The file cannot be made or read, or what is in it is too short for a token.
pub(crate) fn token_in(file: &Path) -> io::Result<(ApiKey, bool)> {
    let mut held = private().open(file)?;
    let mut text = Zeroizing::new(String::new());
    (&mut held).take(LONGEST as u64 + 1).read_to_string(&mut text)?;
    let (token, is_new) = match text.trim() {
        "" => {
            let mut bytes = Zeroizing::new([0; 24]);
            getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
            let digits: Zeroizing<String> =
                Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
            let token = ApiKey::new(&format!("libra-admin-{}", *digits));
            writeln!(held, "{}", token.expose())?;
            held.sync_all()?;
            (token, true)
        }
        text => (ApiKey::new(text), false),
    };
    let fits = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !fits || !(SHORTEST..=LONGEST).contains(&token.expose().len()) {
        let problem =
            format!("it holds no token of {SHORTEST} to {LONGEST} characters; remove it, and one is made");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok((token, is_new))
}

/// As for `LIBRA_ADMIN_TOKEN`.
const SHORTEST: usize = 16;

const NO_TOKEN: &str = "This needs the administration's token as Authorization: Bearer. It is LIBRA_ADMIN_TOKEN, or in \
     the file admin-token of the data folder. 需要管理令牌，以 Authorization: Bearer 发送：LIBRA_ADMIN_TOKEN，或数据目录中的 \
     admin-token 文件。";

const WRONG_TOKEN: &str = "This is not the administration's token (LIBRA_ADMIN_TOKEN, or the file admin-token of the data folder). 管理令牌不正确。";

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn access() -> Access {
        Access::new(ApiKey::new("the-administrators-token"), Some(ApiKey::new("the-readers-token")))
    }

    fn head(token: &str) -> HeaderMap {
        [(AUTHORIZATION, token.parse().expect("a header"))].into_iter().collect()
    }

    #[test]
    fn tokens_open_what_they_are_for() {
        let access = access();
        let check = |shown: &str, expected: Option<Role>| {
            assert_eq!(access.role(&head(shown), ADDRESS, NOW).ok(), expected, "{shown}");
        };
        check("Bearer the-administrators-token", Some(Role::Administrator));
        check("bearer  the-readers-token", Some(Role::Reader));
        check("Bearer the-administrators-toke", None);
        check("Basic the-administrators-token", None);
        check("Bearer ", None);
        assert!(access.role(&HeaderMap::new(), ADDRESS, NOW).is_err());
        assert!(access.confirm("the-administrators-token", ADDRESS, NOW).is_ok());
        assert!(access.confirm("the-readers-token", ADDRESS, NOW).is_err());
    }

    #[test]
    fn who_guesses_is_slowed_down() {
        let access = access();
        let status = |token: &str, address: IpAddr, now| {
            access.role(&head(token), address, now).err().map(|problem| problem.status.as_u16())
        };
        for _ in 0..10 {
            assert_eq!(status("Bearer wrong", ADDRESS, NOW), Some(401));
        }
        assert_eq!(status("Bearer wrong", ADDRESS, NOW), Some(429));
        assert_eq!(status("Bearer the-administrators-token", ADDRESS, NOW), Some(429));
        let another = "192.0.2.1".parse().expect("an address");
        assert_eq!(status("Bearer the-administrators-token", another, NOW), None);
        // Nobody is locked out for longer than a guess takes.
        assert_eq!(status("Bearer the-administrators-token", ADDRESS, NOW + A_GUESS), None);
        assert_eq!(status("Bearer wrong", ADDRESS, NOW + A_GUESS), Some(401));
        assert_eq!(status("Bearer wrong", ADDRESS, NOW + A_GUESS), Some(429));
        // Who shows none has guessed nothing.
        for _ in 0..50 {
            let problem = access.role(&HeaderMap::new(), another, NOW).expect_err("there is none");
            assert_eq!(problem.status.as_u16(), 401);
        }
    }

    #[test]
    fn the_addresses_that_guess_are_bounded() {
        let access = access();
        for number in 0..ADDRESSES as u32 + 100 {
            let _ = access.role(&head("Bearer wrong"), IpAddr::V4(number.into()), NOW);
        }
        assert_eq!(access.guesses.lock().expect("nobody has panicked").len(), ADDRESSES);
    }

    #[test]
    fn a_token_is_made_once() {
        let file = std::env::temp_dir().join(format!("libra-admin-token-{}", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let (made, is_new) = token_in(&file).expect("it can be made");
        assert!(is_new && made.expose().len() > 40);
        assert!(matches!(token_in(&file), Ok((read, false)) if read == made));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(&file, "short\n").expect("it can be written");
        assert!(token_in(&file).is_err());
        let _ = std::fs::remove_file(&file);
    }
}
