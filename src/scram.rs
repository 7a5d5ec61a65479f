//! The client's side of SCRAM-SHA-256: RFC 5802 and 7677, as `PostgreSQL` speaks it.
//!
//! The driver has it too, but hashes the password on each connection anew, at twice the blocks that
//! it takes: most of the processor time of an event (docs/benchmarks.md). Here OpenSSL hashes it, once
//! for a salt.

use openssl::base64::{decode_block, encode_block};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::rand::rand_bytes;
use openssl::sha::sha256;
use openssl::sign::Signer;

/// The mechanism that is bound to the TLS connection.
pub const BOUND: &str = "SCRAM-SHA-256-PLUS";

/// The mechanism that is not.
pub const UNBOUND: &str = "SCRAM-SHA-256";

/// How many rounds a server may ask for: who is not the server must not keep us busy for long.
/// `PostgreSQL` asks for 4096; the driver has the same limit.
const MOST_ROUNDS: usize = 100_000;

/// How much of a server's reason is told, in characters.
const MOST_SAID: usize = 100;

/// Random bytes of our part of the nonce, as libpq has them.
const NONCE: usize = 18;

/// Why the exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server does not keep to the RFC.
    #[error("SCRAM: the server's message is not valid")]
    Invalid,
    /// The server has neither mechanism.
    #[error("SCRAM: the server asks for another mechanism than SCRAM-SHA-256")]
    Unknown,
    /// The server wants too much.
    #[error(
        "SCRAM: the password has {0} rounds of hashing, and at most {MOST_ROUNDS} are done here"
    )]
    Rounds(usize),
    /// The server says why not.
    #[error("SCRAM: the server says `{0}`")]
    Refused(String),
    /// The server has not shown that it knows the password.
    #[error("SCRAM: the server does not know the password that it asked for")]
    Impostor,
    /// The library.
    #[error("SCRAM: the TLS library failed")]
    Library(#[from] ErrorStack),
}

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The RFC's `SaltedPassword`.
///
/// # Errors
/// The TLS library fails.
pub fn salted(password: &str, salt: &[u8], rounds: usize) -> Result<Hash, ErrorStack> {
    // As the server does it: what SASLprep does not take is hashed as it is.
    let prepared = stringprep::saslprep(password).unwrap_or(password.into());
    let mut hash = Hash::default();
    pbkdf2_hmac(prepared.as_bytes(), salt, rounds, MessageDigest::sha256(), &mut hash)?;
    Ok(hash)
}

/// An exchange that has begun.
pub struct Exchange {
    /// The mechanism's name.
    pub mechanism: &'static str,
    header: &'static str,
    binding: Vec<u8>,
    bare: String,
    nonce: String,
}

/// What the server's last message has to hold.
pub struct Proof(Vec<u8>);

impl Exchange {
    /// Begins with one of the mechanisms that the server offers, bound to the TLS connection where
    /// both sides can: `binding` is the hash of the server's certificate (`tls-server-end-point`).
    ///
    /// # Errors
    /// The server has neither mechanism, or there is no randomness.
    pub fn begin(offered: &[&[u8]], binding: Option<Vec<u8>>) -> Result<Self, Error> {
        let offers = |mechanism: &str| offered.contains(&mechanism.as_bytes());
        let (mechanism, header, binding) = match binding {
            Some(binding) if offers(BOUND) => (BOUND, "p=tls-server-end-point,,", binding),
            // "I can, and believe that you cannot": who took the better one away is found out.
            Some(_) => (UNBOUND, "y,,", Vec::new()),
            None => (UNBOUND, "n,,", Vec::new()),
        };
        if !offers(mechanism) {
            return Err(Error::Unknown);
        }
        let mut nonce = [0; NONCE];
        rand_bytes(&mut nonce)?;
        let nonce = encode_block(&nonce);
        // The server takes the name from the startup message.
        let bare = format!("n=,r={nonce}");
        Ok(Self { mechanism, header, binding, bare, nonce })
    }

    /// The first message.
    pub fn first(&self) -> String {
        format!("{}{}", self.header, self.bare)
    }

    /// The answer to the server's first message, and what the server has to say to that. `salted`
    /// gives [`salted`] of the password, for a salt and a number of rounds.
    ///
    /// # Errors
    /// The message is not valid, or asks for too much.
    pub fn answer(
        self,
        challenge: &[u8],
        salted: impl FnOnce(&[u8], usize) -> Result<Hash, ErrorStack>,
    ) -> Result<(String, Proof), Error> {
        let challenge = str::from_utf8(challenge).map_err(|_| Error::Invalid)?;
        let mut parts = challenge.split(',');
        let mut part =
            |name| parts.next().and_then(|part| part.strip_prefix(name)).ok_or(Error::Invalid);
        let nonce = part("r=")?;
        let salt = decode_block(part("s=")?).map_err(|_| Error::Invalid)?;
        let rounds: usize = part("i=")?.parse().map_err(|_| Error::Invalid)?;
        let is_longer = nonce.strip_prefix(&self.nonce).is_some_and(|theirs| !theirs.is_empty());
        if !is_longer || rounds == 0 || parts.next().is_some() {
            return Err(Error::Invalid);
        }
        if rounds > MOST_ROUNDS {
            return Err(Error::Rounds(rounds));
        }
        let salted = salted(&salt, rounds)?;
        let binding = encode_block(&[self.header.as_bytes(), &self.binding].concat());
        let last = format!("c={binding},r={nonce}");
        let all = format!("{},{challenge},{last}", self.bare);
        let (proof, signature) = proofs(&salted, &all)?;
        Ok((format!("{last},p={}", encode_block(&proof)), Proof(signature)))
    }
}

impl Proof {
    /// Whether the server knows the password: the check of its last message.
    ///
    /// # Errors
    /// It does not, or it does not say.
    pub fn check(&self, outcome: &[u8]) -> Result<(), Error> {
        let outcome = str::from_utf8(outcome).map_err(|_| Error::Invalid)?;
        if let Some(why) = outcome.strip_prefix("e=") {
            return Err(Error::Refused(why.chars().take(MOST_SAID).collect()));
        }
        let signature = outcome.strip_prefix("v=").ok_or(Error::Invalid)?;
        let signature = decode_block(signature).map_err(|_| Error::Invalid)?;
        if signature.len() == self.0.len() && memcmp::eq(&signature, &self.0) {
            Ok(())
        } else {
            Err(Error::Impostor)
        }
    }
}

/// The RFC's `ClientProof` and `ServerSignature`.
fn proofs(salted: &[u8], all: &str) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let client_key = hmac(salted, b"Client Key")?;
    let signature = hmac(&sha256(&client_key), all.as_bytes())?;
    let proof = client_key.iter().zip(signature).map(|(key, signed)| key ^ signed).collect();
    Ok((proof, hmac(&hmac(salted, b"Server Key")?, all.as_bytes())?))
}

fn hmac(key: &[u8], text: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key)?;
    Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(text)
}

/// What a server that knows a password says at the end, for the salt of the RFC's example.
#[cfg(test)]
pub(crate) fn signature(password: &str, all: &str) -> String {
    let salt = decode_block("W22ZaJ0SNY7soEsUEjb6gQ==").expect("a salt");
    let salted = salted(password, &salt, 4096).expect("a hash");
    encode_block(&proofs(&salted, all).expect("two HMACs").1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3; its user has a name, where ours has none.
    fn example() -> Exchange {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        let bare = format!("n=user,r={nonce}");
        Exchange { mechanism: UNBOUND, header: "n,,", binding: Vec::new(), bare, nonce }
    }

    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn answer(challenge: &str) -> Result<(String, Proof), Error> {
        example().answer(challenge.as_bytes(), |salt, rounds| salted("pencil", salt, rounds))
    }

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(example().first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (last, proof) = answer(CHALLENGE).expect("a valid challenge");
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        proof.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").expect("the RFC's server");
        let impostor = proof.check(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(matches!(impostor, Err(Error::Impostor)), "one bit is wrong");
        let short = proof.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl9");
        assert!(matches!(short, Err(Error::Impostor)), "it is short");
        let refused = proof.check(b"e=invalid-proof");
        assert!(matches!(refused, Err(Error::Refused(why)) if why == "invalid-proof"));
        for outcome in ["", "v=?", "x=6rri"] {
            assert!(matches!(proof.check(outcome.as_bytes()), Err(Error::Invalid)), "{outcome}");
        }
    }

    #[test]
    fn a_challenge_that_is_not_one() {
        let ours = "r=rOprNGfwEbeRWgbNEkqO";
        for challenge in [
            String::new(),
            "r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".to_owned(),
            format!("{ours},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
            format!("{ours}x,s=?,i=4096"),
            format!("{ours}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0"),
            format!("{ours}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1"),
            format!("{ours}x,s=W22ZaJ0SNY7soEsUEjb6gQ=="),
            format!("m=more,{CHALLENGE}"),
            format!("{CHALLENGE},m=more"),
        ] {
            assert!(matches!(answer(&challenge), Err(Error::Invalid)), "{challenge}");
        }
        let endless = answer(&CHALLENGE.replace("4096", "100001"));
        assert!(matches!(endless, Err(Error::Rounds(100_001))));
    }

    #[test]
    fn the_better_mechanism_where_both_sides_have_it() {
        let begin = |offered: &[&str], binding: Option<&str>| {
            let offered: Vec<&[u8]> = offered.iter().map(|name| name.as_bytes()).collect();
            Exchange::begin(&offered, binding.map(|text| text.as_bytes().to_vec()))
                .map(|exchange| (exchange.mechanism, exchange.header))
        };
        let both = [BOUND, UNBOUND];
        assert!(matches!(begin(&both, Some("hash")), Ok((BOUND, "p=tls-server-end-point,,"))));
        assert!(matches!(begin(&both, None), Ok((UNBOUND, "n,,"))));
        assert!(matches!(begin(&[UNBOUND], Some("hash")), Ok((UNBOUND, "y,,"))));
        assert!(
            matches!(begin(&[BOUND], None), Err(Error::Unknown)),
            "there is nothing to bind to"
        );
        assert!(matches!(begin(&["OAUTHBEARER"], Some("hash")), Err(Error::Unknown)));
        assert!(matches!(begin(&[], None), Err(Error::Unknown)));
    }
}
