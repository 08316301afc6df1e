import { asyncApiDocument } from '../../src/http/openapi/asyncapi.ts';
import { frameCheck } from './asyncapi.ts';

/** Throws unless the AsyncAPI document of this release describes a frame, as {@link frameCheck} does. */
export const describedByAsyncApi = frameCheck(asyncApiDocument());
