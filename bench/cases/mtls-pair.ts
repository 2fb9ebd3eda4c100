import { mtlsPairCase } from '../mtls-pair.ts';

export const mtlsPairH1 = mtlsPairCase('h1');
export const mtlsPairH2 = mtlsPairCase('h2');
