/**
 * The token budget: how many of the units (rows, or whole groups), in slot order, fit into one batch of N tokens.
 *
 * The batch ends before the first unit that does not fit; no later, shorter unit is taken in its place. So nobody is
 * overtaken: a unit that did not fit is the first of the next batch, and long samples are trained on as often as short
 * ones. Filling the gap with short ones would use the budget a little better, and would shift every batch towards them.
 * What the gap can cost is less than the tokens of one unit.
 *
 *   stop       the batch ends because                             then
 *   end        all units fit, and there is room for more          more may be waited for
 *   tokens     the next would be too many tokens, or N are full   it is as large as it gets
 *   rows       the same, of rows                                  it is as large as it gets
 *   too_large  the first unit alone exceeds N or the rows         nothing is taken; it can never fit
 *   no_length  the first unit has no length (NaN, negative)       nothing is taken; it is unknown whether it fits
 *
 * The last two must be answered by an error that names the unit, or by taking it alone: waiting cannot help, and the
 * units behind it must not pass. A unit without a length further on ends the batch before it, as one that is too large.
 */
export interface Budget {
  readonly tokensMax: number;
  readonly rowsMax: number;
}

/** In slot order. */
export interface BudgetUnits {
  /** Of each unit; of a group the sum. NaN for a unit without a length. */
  readonly tokens: ArrayLike<number>;
  /** Of each unit, at least 1. */
  readonly rows: ArrayLike<number>;
}

export interface BudgetCut {
  /** How many units, from the first on. */
  readonly units: number;
  readonly tokens: number;
  readonly rows: number;
  readonly stop: 'end' | 'tokens' | 'rows' | 'too_large' | 'no_length';
}

export function cutByBudget({ tokens, rows }: BudgetUnits, { tokensMax, rowsMax }: Budget): BudgetCut {
  const taken = { units: 0, tokens: 0, rows: 0 };
  for (; taken.units < tokens.length; taken.units += 1) {
    const [unitTokens, unitRows] = [tokens[taken.units], rows[taken.units]];
    const tokensFit = unitTokens >= 0 && taken.tokens + unitTokens <= tokensMax;
    const rowsFit = taken.rows + unitRows <= rowsMax;
    if (!tokensFit || !rowsFit) {
      if (taken.units > 0) return { ...taken, stop: rowsFit ? 'tokens' : 'rows' };
      return { ...taken, stop: unitTokens >= 0 ? 'too_large' : 'no_length' };
    }
    taken.tokens += unitTokens;
    taken.rows += unitRows;
  }
  const stop = taken.rows >= rowsMax ? 'rows' : taken.tokens >= tokensMax ? 'tokens' : 'end';
  return { ...taken, stop };
}
