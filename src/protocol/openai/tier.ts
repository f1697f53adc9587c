// What OpenAI's service tiers do to a price. Must not guess a tier that an answer does not state.
import { accepted, refused, type Result } from '../../denial.ts';
import { priorityPermilleOf } from '../models.ts';
import { LIST_PRICE_PERMILLE } from '../rate-card.ts';

const HALF_PRICE_PERMILLE = 500;
/** A tier of priority that an operator's own price says nothing about. */
const DECLARED_PRIORITY_PERMILLE = 2_000;

export interface TierTerms {
  readonly worstPermille: number;
  readonly usualPermille: number;
  /** Price of the tier that an answer names, in thousandths; null where it names none that says anything. */
  served(tier: unknown): number | null;
}

/**
 * The terms of a request's `service_tier`. Left out, or "auto", a project's own default can be the priority tier, so that
 * is what is held; a price that the operator declared is taken as the price of that default.
 */
export function tierTerms(tier: unknown, model: string, declared: boolean): Result<TierTerms> {
  const priority = declared ? DECLARED_PRIORITY_PERMILLE : priorityPermilleOf(model);
  const served = (name: unknown): number | null => {
    if (name === 'priority' || name === 'fast') return priority;
    if (name === 'flex' || name === 'batch') return declared ? LIST_PRICE_PERMILLE : HALF_PRICE_PERMILLE;
    return name === 'default' || name === 'standard' || name === 'scale' ? LIST_PRICE_PERMILLE : null;
  };
  switch (tier) {
    case undefined:
    case null:
    case 'auto':
      return accepted({
        worstPermille: declared ? LIST_PRICE_PERMILLE : Math.max(LIST_PRICE_PERMILLE, priority),
        usualPermille: LIST_PRICE_PERMILLE,
        served,
      });
    case 'default':
    case 'flex':
    case 'scale':
      return accepted({ worstPermille: LIST_PRICE_PERMILLE, usualPermille: LIST_PRICE_PERMILLE, served });
    case 'priority':
    case 'fast':
      return accepted({ worstPermille: Math.max(LIST_PRICE_PERMILLE, priority), usualPermille: priority, served });
    default:
      return refused('policy-denied', 'Nothing prices this service_tier; use default, flex, priority or auto.');
  }
}
