import com.amazonaws.SdkBaseException;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.securitytoken.AWSSecurityTokenService;
import com.amazonaws.services.securitytoken.AWSSecurityTokenServiceClientBuilder;
import com.amazonaws.services.securitytoken.model.GetCallerIdentityRequest;
import com.amazonaws.util.VersionInfoUtils;
import java.io.BufferedReader;
import java.io.InputStreamReader;

public class SdkV1 {
    public static void main(String[] arguments) throws Exception {
        System.out.println(VersionInfoUtils.getVersion());
        AWSSecurityTokenService sts = AWSSecurityTokenServiceClientBuilder.standard()
            .withEndpointConfiguration(new EndpointConfiguration(System.getenv("STS_URL"), System.getenv("AWS_REGION")))
            .build();
        BufferedReader calls = new BufferedReader(new InputStreamReader(System.in));
        while (calls.readLine() != null) {
            try {
                System.out.println("ok " + sts.getCallerIdentity(new GetCallerIdentityRequest()).getArn());
            } catch (SdkBaseException error) {
                System.out.println("error " + error.getMessage().replace('\n', ' '));
            }
        }
    }
}
