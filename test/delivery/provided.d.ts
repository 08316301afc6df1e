// oxlint-disable-next-line unicorn/require-module-specifiers -- without it, the file would declare another `vitest`
export {};

declare module 'vitest' {
  interface ProvidedContext {
    /** How the runs of test/delivery are chosen. */
    delivery: {
      /** Go on for so long, with ever new seeds. */
      readonly minutes: number;
      readonly runs: number;
      readonly seed?: number;
      readonly path?: string;
    };
  }
}
