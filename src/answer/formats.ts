/**
 * The formats of an export, by name. Who only wants their names, as the command line does, need not open what makes them.
 */
export const FORMATS = ['plain', 'cidr', 'nft', 'ipset', 'rbldnsd', 'csv', 'json'] as const
export type Format = (typeof FORMATS)[number]
