//! Fairness between clients: how far what each got is from the max-min share.

/// The max-min shares of a total: nobody gets more than it asked for, and what one leaves goes to the others in
/// equal parts.
pub fn shares(wanted: &[f64], total: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|one, other| wanted[*one].total_cmp(&wanted[*other]));
    let mut shares = vec![0.0; wanted.len()];
    let mut left = total;
    for (done, client) in order.into_iter().enumerate() {
        let equal = left / (wanted.len() - done) as f64;
        shares[client] = wanted[client].min(equal);
        left -= shares[client];
    }
    shares
}

/// How far the worst served client is from its share, as a part of it; those with more than theirs count too.
pub fn unfairness(wanted: &[f64], got: &[f64]) -> f64 {
    let shares = shares(wanted, got.iter().sum());
    let off = got.iter().zip(&shares).filter(|(_, share)| **share > 0.0);
    off.map(|(got, share)| (got - share).abs() / share).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_max_min() {
        let check = |wanted: &[f64], total, expected: &[f64]| assert_eq!(shares(wanted, total), expected);
        check(&[10.0, 20.0, 40.0, 80.0], 100.0, &[10.0, 20.0, 35.0, 35.0]);
        check(&[80.0, 10.0], 100.0, &[80.0, 10.0]);
        check(&[80.0, 60.0], 100.0, &[50.0, 50.0]);
        check(&[], 100.0, &[]);
    }

    #[test]
    fn unfairness_is_the_worst_clients() {
        assert_eq!(unfairness(&[10.0, 90.0], &[10.0, 40.0]), 0.0);
        assert_eq!(unfairness(&[50.0, 50.0], &[10.0, 30.0]), 0.5);
        assert_eq!(unfairness(&[50.0, 0.0], &[0.0, 0.0]), 0.0);
    }
}
