//! Ids that the server makes.

use uuid::Uuid;

/// Crockford's alphabet: no letter that is read as a digit. Its order is that of the bytes, so that ids made
/// one after the other also sort so.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// How many digits of 5 bits 128 bits take.
const DIGITS: u32 = 26;

/// The id of a new resource, such as `inc_01jcn3x7v8f5q9t2m4k6w0z1ry`.
pub(super) fn fresh(prefix: &str, uuid: Uuid) -> String {
    let digit = |place: u32| {
        let digit = (uuid.as_u128() >> (5 * place)) & 0x1f;
        char::from(ALPHABET[usize::try_from(digit).unwrap_or_default()])
    };
    let digits: String = (0..DIGITS).rev().map(digit).collect();
    format!("{prefix}_{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_they_were_made() {
        let uuids = ["0190c1a2-7b3c-7def-8123-456789abcdef", "0190c1a2-7b3d-7000-8000-000000000000"];
        let [first, second] = uuids.map(|text| fresh("inc", Uuid::try_parse(text).unwrap()));
        assert_eq!(first, "inc_01j30t4ysw".to_owned() + &first["inc_01j30t4ysw".len()..]);
        assert_eq!(first.len(), "inc_".len() + 26);
        assert!(first < second, "{first} {second}");
    }
}
