//! What AWS checks of an IAM token for RDS: a Signature Version 4 of its own, from the description
//! at <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::function::{SECRET_ACCESS_KEY, SESSION_TOKEN};

/// What a token must have been signed for, and with.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The endpoint, as the client knows it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The role of the database.
    pub user: String,
    /// The region of the endpoint.
    pub region: String,
    /// The credentials' id.
    pub access_key: String,
    /// Their secret.
    pub secret_key: String,
    /// Their session.
    pub session_token: String,
}

impl Expected {
    /// The token of the test environment's function for an endpoint of that name; the port and the
    /// user are those of each connection.
    pub fn at(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            port: 0,
            user: String::new(),
            region: "eu-west-1".to_owned(),
            access_key: "ASIAEXAMPLE".to_owned(),
            secret_key: SECRET_ACCESS_KEY.to_owned(),
            session_token: SESSION_TOKEN.to_owned(),
        }
    }

    /// Checks a token as AWS would at that time.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self, token: &str, now: SystemTime) -> Result<(), String> {
        let (place, query) = token.split_once("/?").ok_or("no path and query")?;
        let here = format!("{}:{}", self.host, self.port);
        same("endpoint", place, &here)?;
        let mut pairs = BTreeMap::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(format!("`{pair}` is no pair"))?;
            let twice = pairs.insert(name.to_owned(), decoded(value)?).is_some();
            if twice {
                return Err(format!("`{name}` comes twice"));
            }
        }
        let signature = pairs.remove("X-Amz-Signature").ok_or("no signature")?;
        let value = |name: &str| pairs.get(name).map_or("", String::as_str);
        let time = value("X-Amz-Date");
        let day = time.get(..8).ok_or("no date")?;
        let scope = format!("{day}/{}/rds-db/aws4_request", self.region);
        for (name, wanted) in [
            ("Action", "connect"),
            ("DBUser", &self.user),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &format!("{}/{scope}", self.access_key)),
            ("X-Amz-Expires", "900"),
            ("X-Amz-SignedHeaders", "host"),
            ("X-Amz-Security-Token", &self.session_token),
        ] {
            same(name, value(name), wanted)?;
        }
        let now = now.duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?.as_secs();
        if now.abs_diff(seconds(time).ok_or("no such date")?) > 900 {
            return Err(format!("`{time}` is too long ago, or too far off"));
        }
        let query: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = format!("GET\n/\n{}\nhost:{here}\n\nhost\n{}", query.join("&"), hash(b""));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(request.as_bytes()));
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for part in [day, &self.region, "rds-db", "aws4_request", &text] {
            key = hmac(&key, part.as_bytes());
        }
        same("signature", &signature, &hex(&key))
    }
}

fn same(what: &str, found: &str, wanted: &str) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: `{found}`, not `{wanted}`")) }
}

/// RFC 2104, with SHA-256.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hash(text: &[u8]) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string");
        text
    })
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => write!(encoded, "%{byte:02X}").expect("a string"),
        }
    }
    encoded
}

/// Strictly: what has to be encoded, is.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap_or(0), rest.next().unwrap_or(0)];
                let digits = String::from_utf8_lossy(&digits).into_owned();
                u8::from_str_radix(&digits, 16).map_err(|error| error.to_string())?
            }
            byte => byte,
        });
    }
    let decoded = String::from_utf8(bytes).map_err(|error| error.to_string())?;
    if encoded(&decoded) == text { Ok(decoded) } else { Err(format!("`{text}` is not encoded")) }
}

/// Seconds since 1970 of `20261121T051027Z`.
fn seconds(time: &str) -> Option<u64> {
    let number = |from: usize, to: usize| time.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    // Years that start in March: the leap day is their last.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let clock = number(9, 11)? * 3600 + number(11, 13)? * 60 + number(13, 15)?;
    Some((days - 719_469) * 86_400 + clock)
}
