export { createChat } from './chat.ts';
export { ChatError } from './error.ts';
export type { Environment, Socket } from './environment.ts';
export { indexedDbStorage } from './indexed-db.ts';
export { memoryStorage, type ChatStorage } from './storage.ts';
export type * from './types.ts';
