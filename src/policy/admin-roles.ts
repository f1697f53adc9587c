// The roles of the control plane: named by tokens, by the policy, and by the calls that need them.

/** viewer reads, issuer issues, operator revokes, resets and kills, approver confirms what needs two people. None includes another. */
export const ADMIN_ROLES = ['viewer', 'issuer', 'operator', 'approver'] as const;
export type AdminRole = (typeof ADMIN_ROLES)[number];
