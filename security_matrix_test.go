package parley_test

import (
	"crypto/tls"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/seed-0474a412/parley"
)

// The tests that TestS176_ runs once more find by its name what they are to speak. Their
// sessions and their servers are made by asSpoken and asServed, and what holds for a
// connection of HTTP/1.1 alone is left out by byHTTP2.
const (
	matrixClear  = "TestS176_TheRulesHoldByHTTP2/without TLS"
	matrixSecure = "TestS176_TheRulesHoldByHTTP2/with TLS"
)

func byHTTP2(t testing.TB) bool {
	name := strings.ReplaceAll(t.Name(), "_", " ")
	return within(name, matrixClear) || within(name, matrixSecure)
}

func within(name, table string) bool {
	return strings.HasPrefix(name, strings.ReplaceAll(table, "_", " ")+"/")
}

// asSpoken gives the options of a session, which speaks HTTP/2 for http URLs too where
// there is no TLS.
func asSpoken(t testing.TB, opts ...parley.ClientOption) []parley.ClientOption {
	if within(strings.ReplaceAll(t.Name(), "_", " "), matrixClear) {
		return append([]parley.ClientOption{parley.WithHTTP2(parley.H2C)}, opts...)
	}
	return opts
}

// asServed lets a server with TLS choose HTTP/2, and have to.
func asServed(t testing.TB, cfg *tls.Config) *tls.Config {
	if byHTTP2(t) {
		cfg.NextProtos = []string{"h2", "http/1.1"}
		cfg.VerifyConnection = func(state tls.ConnectionState) error {
			if state.NegotiatedProtocol != "h2" {
				return errors.New("this is not HTTP/2")
			}
			return nil
		}
	}
	return cfg
}

// What is a rule by HTTP/1.1, which is what these tests speak by themselves, is one by
// HTTP/2.
func TestS176_TheRulesHoldByHTTP2(t *testing.T) {
	t.Parallel()
	tables := map[string][]func(*testing.T){
		matrixClear: {
			// what crosses origins
			TestS001_AuthorizationNotSentToOtherHost, TestS002_CookieHeaderNotSentToOtherHost, TestS003_CookiesOfARequestStayWithItsOrigin,
			TestS004_NoCredentialHeaderIsSentToOtherHost, TestS005_SchemeChangeIsAnOriginChange, TestS006_PortIsPartOfTheOrigin,
			TestS007_HostsAreComparedWhole, TestS008_WhatWasLeftBehindStaysBehind, TestS009_AllValuesOfANameStayBehind,
			TestS011_CustomHeadersStayBehind, TestS012_AuthStaysSilentOnOtherOrigins, TestS013_DigestStateIsOfOneOrigin,
			TestS014_UserInformationStaysWithItsURL, TestS015_NoRefererIsMade, TestS016_AClearedHeaderIsGoneAtOnce,
			TestS017_AHostHeaderIsForOneRequestOnOneOrigin, TestS018_EveryWayLeavesCredentialsBehind, TestS019_APolicyConfinesRedirects,
			// cookies
			TestS036_cookiesOfARedirectBelongToWhoSetThem, TestS047_serversCannotFillTheJar, TestS052_theRequestsOwnCookieWins,
			TestCookies_areKeptAndSentBack, TestCookies_goByHostAndNotToStrangers, TestCookies_ofOptionsJoinTheJarsWithoutBeingStored,
			TestCookies_canBeLeftOut,
			// what is written
			TestS053_ControlBytesInHeaderValuesAreRefused, TestS053_ACookieOfAJarIsCheckedLikeAnyOther, TestS053_UserInformationCannotEndAHeader,
			TestS054_HeaderNamesAreTokens, TestS055_TheMethodIsAToken, TestS055_MethodsOfRedirectedRequestsAreTokens,
			TestS056_TheTargetIsEncodedOrRefused, TestS056_TargetsOfRedirectsAreEncodedOrRefused, TestS057_RunesAreNeverCutToBytes,
			TestS058_TheHostIsAHostWithOptionalPort, TestS059_NobodyButTheEngineSuppliesTheVersion, TestS060_TheContentTypeOfABodyIsChecked,
			TestS062_ConnectIsCheckedLikeAnyOther, TestS151_NamesCannotEndTheirParameter, TestS152_S060_PartHeadersObeyTheHeaderRules,
			TestS153_S060_ABoundaryOfTheCallersIsChecked, TestUpload_aTrailerThatCannotBeSentFailsTheRequest,
			// codings and limits
			TestS087_DrainingARedirectDecodesNothing, TestS090_TheLimitOfTheBodyHoldsAfterARedirect, TestDecode_whatParleyAskedForIsDecoded,
			TestDecode_whatOthersAskedForIsRaw, TestDecode_codingsThatWereNotAskedForStay, TestDecode_anAnswerWithoutContentIsNotDecoded,
			TestDecode_aBodyCutShortIsAnError, TestDecode_maxBodyBytesHoldsForEveryWayToRead, TestS088_GzipInPieces,
			// redirects
			TestS122_LocationsHaveOneAuthority, TestS134_RedirectsLeadToHTTPAlone, TestS135_WhoeverSwitchesRedirectsOffIsHeard,
			TestS136_ADroppedBodyTakesItsHeadersAlong, TestS137_AKeptBodyCrossesWithoutCredentials, TestS160_TheTotalLimitCoversRedirects,
			TestS162_FollowedRedirectsAndHooksFreeTheirSlot, TestS164_RedirectsAndHistoryHoldNoCredentials,
			TestS166_WhatARedirectSaysIsQuotedAndCut, TestS190_ChainsEnd, TestRedirect_methodAndBodyForEachStatus, TestRedirect_location,
			TestRedirect_statusesThatAreNone, TestRedirect_bodiesAreSentAgain, TestRedirect_bodyThatCannotBeSentAgain, TestRedirect_history,
			TestRedirect_limit, TestRedirect_everyEntryPoint,
			// logins
			TestS147_AWrongProofIsAnError,
			TestS149_DigestParametersAreNotMixedUp, TestS192_RejectedCredentialsAreNotTriedAgain, TestDigest_protectedBodies,
			TestTokenAuth_renewsOnceFor401s,
			// the way of a call
			TestHooks_order, TestHooks_anErrorEndsTheCall, TestHooks_bodyIsReadAlsoWhereAPolicyStopped, TestInformational_answersAreTold,
			TestUpload_aReaderThatFails, TestUpload_aReaderIsSentOnce, TestUpload_aRequestIsSentByManyAtOnce,
			TestUpload_aBodyThatCannotBeOpenedCostsNoConnection, TestExchange_aResponseThatMiddlewareDropsIsNoticed,
			TestExchange_middlewareMaySendSeveralAtOnce, TestTimeout_ResponseDoesNotCountTheUpload, TestTimeout_ResponseDoesNotCountMiddleware,
			TestReaderBody_isClosedOnceHoweverTheCallEnds, TestResponse_isReadInAnyOrderAndAgain,
			TestResponse_readingAClosedBodyIsAnError, TestGather_leavingTheLoopEndsWhatIsUnderWay,
			TestTrace_aDialIsToldToTheRequestThatStartedIt, TestTrace_showsTheConnectionOfTheDialerOrTheHandshake,
		},
		matrixSecure: {
			TestS018_ThroughProxiesToo, TestS101_EveryHandshakeIsVerified, TestS105_S106_SettingsHoldOnEveryWay,
			TestS105_PinsAndVersionsHoldOnEveryWay, TestS005_SchemeChangeIsAnOriginChange, TestProxy_everyKindLeadsToEveryServer,
			TestS112_ProxyCredentialsStayAtTheProxy, TestS115_HeadersForTheProxyAreItsAlone, TestS025_TunnelsAreOfTheirTarget,
		},
	}
	for table, tests := range tables {
		t.Run(table[strings.IndexByte(table, '/')+1:], func(t *testing.T) {
			for _, test := range tests {
				name := runtime.FuncForPC(reflect.ValueOf(test).Pointer()).Name()
				t.Run(name[strings.LastIndex(name, ".Test")+len(".Test"):], test)
			}
		})
	}
}
